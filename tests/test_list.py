"""`epochlab list` as a user calls it."""

import csv
import io
import json

from test_report import epochlab, make_run

KEY = "training.optimizer.learning_rate"


def test_the_table_fits_80_columns_and_says_what_differs(tmp_path):
    long_name = "a_run_of_an_experiment_with_a_long_name"
    make_run(tmp_path, "20261101T100000Z-seed1", rate=0.001, accuracy=0.91)
    make_run(tmp_path, "20261102T100000Z-seed12", rate=0.01, seed=12, accuracy=None)
    make_run(tmp_path, "20261031T100000Z-seed1", experiment=long_name)
    finished = epochlab("list", tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == (
        "lenet\n"
        "run                      state     seed  epochs    test  differs in\n"
        "20261102T100000Z-seed12  cut off     12       3       -  learning_rate=0.01\n"
        "20261101T100000Z-seed1   finished     1       3  0.9100  learning_rate=0.001\n"
        "\n"
        f"{long_name}\n"
        "run                     state     seed  epochs    test  differs in\n"
        "20261031T100000Z-seed1  finished     1       3  0.9000\n"
    )


def test_long_differences_are_folded(tmp_path):
    for number in range(2):
        settings = {"model": {"filters": [number] * 20, "activation": "relu" * (1 + number)}}
        make_run(tmp_path, f"2026110{number + 1}T100000Z-seed1", settings=settings)
    lines = epochlab("list", tmp_path).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("finished" in line for line in lines) == 2


def test_names_cannot_move_the_cursor(tmp_path):
    make_run(tmp_path, "a\x1b[2Jb", experiment="[red]lenet\n", settings={"note": "x"})
    make_run(tmp_path, "c", experiment="[red]lenet\n", settings={"note": "[bold]\x1b[2J"})
    printed = epochlab("list", tmp_path).stdout
    assert "\x1b" not in printed
    assert "a\\x1b[2Jb" in printed
    assert "[red]lenet\\n" in printed
    assert "note=[bold]\\x1b" in printed


def test_csv_has_a_row_per_run_and_columns_for_what_differs(tmp_path):
    make_run(tmp_path, "20261101T100000Z-seed1", rate=0.001)
    make_run(tmp_path, "20261102T100000Z-seed1", rate=0.01, accuracy=None)
    rows = list(csv.DictReader(io.StringIO(epochlab("list", tmp_path, "--format", "csv").stdout)))
    assert [row["run"] for row in rows] == [
        "lenet/20261102T100000Z-seed1",
        "lenet/20261101T100000Z-seed1",
    ]
    assert [row[KEY] for row in rows] == ["0.01", "0.001"]
    assert [row["test.accuracy"] for row in rows] == ["", "0.9"]
    assert rows[1]["started"] == "2026-11-01T10:00:00+00:00"


def test_a_spreadsheet_computes_nothing(tmp_path):
    make_run(tmp_path, "=1+1", experiment="=2+2")
    (row,) = csv.DictReader(io.StringIO(epochlab("list", tmp_path, "--format", "csv").stdout))
    assert row["experiment"] == "'=2+2"


def test_json_has_figures_and_notes(tmp_path):
    run = make_run(tmp_path, "a", settings={"model": {"clip": float("inf")}})
    make_run(tmp_path, "b")
    (run / "metrics.json").write_text("{")
    printed = epochlab("list", tmp_path, "--format", "json").stdout
    rows = {row["run"]: row for row in json.loads(printed)}
    assert rows["lenet/b"]["test.accuracy"] == 0.9
    assert rows["lenet/a"]["differing"] == {"model.clip": "inf"}
    assert "metrics.json: cannot be read" in rows["lenet/a"]["notes"][0]


def test_one_experiment_can_be_listed(tmp_path):
    make_run(tmp_path, "a")
    make_run(tmp_path, "b", experiment="mlp")
    printed = epochlab("list", tmp_path, "--experiment", "mlp").stdout
    assert printed.splitlines()[0] == "mlp"
    assert "lenet" not in printed


def test_what_is_no_run_is_named_on_stderr(tmp_path):
    make_run(tmp_path, "a")
    bad = make_run(tmp_path, "b")
    (bad / "config.yaml").write_text("a: [")
    finished = epochlab("list", tmp_path, "--format", "json")
    assert len(json.loads(finished.stdout)) == 1
    assert finished.stderr.startswith("not listed: lenet/b: ")
    assert len(finished.stderr.splitlines()) == 1


def test_an_empty_folder_says_so_and_a_missing_one_fails(tmp_path):
    empty = epochlab("list", tmp_path)
    assert (empty.returncode, empty.stdout) == (0, f"no run in {tmp_path}\n")
    assert epochlab("list", tmp_path, "--format", "csv").stdout == ""
    assert epochlab("list", tmp_path, "--format", "json").stdout == "[]\n"
    assert epochlab("list", tmp_path / "none").returncode == 4
