"""Many runs of one experiment: what to try, where each trial stands, who carries it out.

A trial is the experiment's script in a process of its own. Nothing here loads TensorFlow.
"""
