"""Makes `docs/results.md` and the tables of README.md from the runs in `docs/results/`.

    python benchmarks/results.py collect outputs/lenet_mnist/RUN ...   # takes small files over
    python benchmarks/results.py render                                # writes both pages
    python benchmarks/results.py article NAME --weights FILE.h5        # the article's own code

`make results` renders; `make results ARGS="RUN ..."` collects first. What the articles say of each
experiment stands in `docs/results/experiments.yaml`.
"""

import argparse
import sys
from pathlib import Path

from result_articles import AS_ARTICLES, record_article
from result_entries import RESULTS, ROOT, read_results
from result_files import collect_runs
from result_pages import render_page, render_readme

from epochlab.errors import EpochlabError
from epochlab.files import write_text


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    acts = parser.add_subparsers(dest="act", required=True)
    collect = acts.add_parser("collect", help="take the small files of finished runs over")
    collect.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    acts.add_parser("render", help="write docs/results.md and the tables of README.md")
    article = acts.add_parser("article", help="run an article's own code on a base of yours")
    article.add_argument("entry", choices=AS_ARTICLES)
    article.add_argument("--weights", type=Path, required=True, metavar="FILE.h5", help="of VGG16")
    article.add_argument("--data", type=Path, default=Path("data/cats_dogs"), metavar="DIR")
    article.add_argument("--epochs", type=int, nargs="+", default=[], help="of each phase")
    article.add_argument("--precision", default="float32", help="or mixed_bfloat16")
    arguments = parser.parse_args()
    try:
        if arguments.act == "collect":
            for folder in collect_runs(arguments.runs, read_results()):
                print(folder.relative_to(ROOT))
        elif arguments.act == "article":
            entries = {entry.name: entry for entry in read_results().entries}
            entry = entries[arguments.entry]
            file = record_article(
                entry,
                arguments.weights,
                arguments.data,
                RESULTS,
                epochs=arguments.epochs,
                precision=arguments.precision,
            )
            print(file.relative_to(ROOT))
        else:
            render()
    except EpochlabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def render() -> None:
    """Writes both pages, each only if it changes."""
    results = read_results()
    readme = ROOT / "README.md"
    pages = {
        RESULTS.with_suffix(".md"): render_page(results),
        readme: render_readme(readme.read_text(encoding="utf-8"), results),
    }
    for path, text in pages.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
