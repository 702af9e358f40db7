"""The report page without a browser: what is read, what gets into the page and what does not."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from epochlab.config.yaml_writer import dump_yaml
from epochlab.errors import RunError
from epochlab.history import Epoch, format_history
from epochlab.labels import describe_settings, shorten_keys
from epochlab.report.outputs import read_outputs
from epochlab.report.page import write_page
from epochlab.report.pictures import shrink_picture, strip_text

HOSTILE = "</script><script>document.title='broken'</script>"


def make_run(
    outputs: Path,
    name: str,
    *,
    experiment: str = "lenet",
    seed: int = 1,
    rate: float = 0.001,
    epochs: int = 3,
    accuracy: float | None = 0.9,
    classes: tuple[str, ...] = ("cat", "dog"),
    pictures: tuple[str, ...] = (),
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a run folder as a training leaves it; without `accuracy`, as one that was cut off."""
    run = outputs / experiment / name
    run.mkdir(parents=True)
    optimizer = {"name": "adam", "learning_rate": rate}
    config = {
        "experiment": experiment,
        "seed": seed,
        "data": {"path": None},
        "training": {"epochs": epochs, "keep": "last", "optimizer": optimizer},
    }
    (run / "config.yaml").write_text(dump_yaml(config | dict(settings or {})))
    history = [
        Epoch(epoch, 1 / epoch, 1 - 0.5 / epoch, 1.2 / epoch, 1 - 0.6 / epoch, rate, 1.5)
        for epoch in range(1, epochs + 1)
    ]
    (run / "history.csv").write_text(format_history(history))
    records = {
        "environment.json": {
            "versions": {"keras": "3.15.1"},
            "command": ["python", "scripts/lenet.py", "--out", "my runs"],
            "started": "2026-11-01T10:00:00+00:00",
        },
        "data.json": {
            "sha256": "c473ce9de417",
            "class_names": classes,
            "images_per_class": {"train": dict.fromkeys(classes, 7)},
            "skipped": {"cat/7.jpg": "cut short"},
        },
        "sessions.json": {"sessions": [{"from": "the beginning", "ended": None, "changes": {}}]},
    }
    if accuracy is not None:
        records["metrics.json"] = {
            "test": {"loss": 0.3, "accuracy": accuracy},
            "class_accuracy": dict.fromkeys(classes, accuracy),
            "parameters": {"total": 1256080},
        }
    for file, record in records.items():
        (run / file).write_text(json.dumps(record))
    for number, picture in enumerate(pictures):
        draw_picture(run / picture, shade=40 * number)
    return run


def draw_picture(path: Path, *, shade: int = 0, side: int = 64) -> None:
    """Writes a PNG file with many colours and a text field."""
    pixels = bytes((x * y + shade) % 256 for x in range(side) for y in range(3 * side))
    fields = PngImagePlugin.PngInfo()
    fields.add_text("run", path.parent.name)
    path.parent.mkdir(exist_ok=True)
    Image.frombytes("RGB", (side, side), pixels).save(path, pnginfo=fields)


class PageReader(HTMLParser):
    """Collects the script elements and the policy of a page."""

    def __init__(self):
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.policy = ""
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        found = dict(attrs)
        if tag == "script":
            self._open = found.get("id") or "program"
            assert self._open not in self.scripts
            self.scripts[self._open] = ""
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content") or ""

    def handle_data(self, data: str):
        if self._open is not None:
            self.scripts[self._open] += data

    def handle_endtag(self, tag: str):
        if tag == "script":
            self._open = None


def read_page(path: Path) -> PageReader:
    reader = PageReader()
    reader.feed(path.read_text(encoding="ascii"))
    return reader


def read_content(path: Path) -> dict[str, Any]:
    return json.loads(read_page(path).scripts["runs"])


def epochlab(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochlab.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    )


def test_runs_come_newest_first_with_what_differs_in_their_experiment(tmp_path):
    make_run(tmp_path, "20261101T100000Z-seed1", rate=0.001)
    make_run(tmp_path, "20261103T100000Z-seed1", rate=0.01)
    make_run(tmp_path, "20261102T100000Z-seed1", experiment="mlp", rate=0.5)
    runs = read_outputs(tmp_path).runs
    assert [run.place[:12] for run in runs] == ["lenet/202611", "mlp/20261102", "lenet/202611"]
    key = "training.optimizer.learning_rate"
    assert [dict(run.differing) for run in runs] == [{key: 0.01}, {}, {key: 0.001}]


def test_a_renamed_run_keeps_its_time(tmp_path):
    make_run(tmp_path, "20261101T090000Z-seed1")
    make_run(tmp_path, "my best one")
    assert [run.place for run in read_outputs(tmp_path).runs] == [
        "lenet/my best one",
        "lenet/20261101T090000Z-seed1",
    ]


def test_a_repeated_run_is_listed_too(tmp_path):
    make_run(tmp_path, "20261101T100000Z-seed1")
    make_run(tmp_path, "20261101T110000Z-seed1")
    assert len(read_outputs(tmp_path).runs) == 2


def test_an_experiment_can_be_chosen(tmp_path):
    make_run(tmp_path, "a")
    make_run(tmp_path, "b", experiment="mlp")
    assert [run.place for run in read_outputs(tmp_path, ["mlp"]).runs] == ["mlp/b"]
    with pytest.raises(RunError, match="has no run of vgg; it has lenet, mlp"):
        read_outputs(tmp_path, ["vgg"])


def test_one_run_can_be_given_itself(tmp_path):
    run = make_run(tmp_path, "a", pictures=("accuracy.png",))
    (run / "checkpoints").mkdir()
    found = read_outputs(run)
    assert [run.place for run in found.runs] == ["a"]
    assert found.left_out == []


def test_what_is_unfinished_or_cut_short_says_so(tmp_path):
    run = make_run(tmp_path, "a", accuracy=None)
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text[: text.rindex("3,") + 9])
    (found,) = read_outputs(tmp_path).runs
    assert found.recorded.state == "cut off"
    assert found.figures["epochs"] == 2
    assert found.figures["test.accuracy"] is None
    (note,) = found.recorded.notes
    assert "cannot be read beyond epoch 2" in note


def test_a_run_that_has_lost_its_figures_is_not_called_finished(tmp_path):
    run = make_run(tmp_path, "a", accuracy=None)
    (run / "sessions.json").write_text('{"sessions": [{"ended": "finished"}]}')
    (found,) = read_outputs(tmp_path).runs
    assert found.recorded.state == "not finished"
    assert found.recorded.notes == [f"{run / 'metrics.json'}: is missing"]


@pytest.mark.parametrize("text", ['{"test": 3}', '{"test": {"accuracy": "high"}}', "[]", "{"])
def test_a_run_with_damaged_figures_is_listed_as_not_finished(tmp_path, text):
    bad = make_run(tmp_path, "bad")
    (bad / "metrics.json").write_text(text)
    (run,) = read_outputs(tmp_path).runs
    assert not run.recorded.is_finished
    assert "metrics.json" in run.recorded.notes[0]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.yaml", "a: [", "its config cannot be read"),
        ("config.yaml", "- 1\n", "its config"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_and_the_others_listed(tmp_path, file, text, reason):
    make_run(tmp_path, "good")
    bad = make_run(tmp_path, "bad")
    (bad / file).write_text(text)
    found = read_outputs(tmp_path)
    assert [run.place for run in found.runs] == ["lenet/good"]
    ((place, why),) = found.left_out
    assert place == "lenet/bad"
    assert reason in why


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "[" * 100_000])
@pytest.mark.parametrize("file", ["metrics.json", "sessions.json", "environment.json"])
def test_damaged_json_is_told_of_and_the_run_still_listed(tmp_path, file, text):
    run = make_run(tmp_path, "a", accuracy=None if file == "sessions.json" else 0.9)
    (run / file).write_text(text)
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    content = read_content(tmp_path / "report.html")
    told = content["leftOut"] or [["", " ".join(content["runs"][0]["notes"])]]
    assert file in told[0][1] or "not what Epochlab writes" in told[0][1]


def test_folders_that_are_no_runs_are_named_but_hidden_ones_and_what_commands_write_are_not(
    tmp_path,
):
    make_run(tmp_path, "a")
    repeats = tmp_path / "repeats" / "lenet-0123abcd"
    make_run(repeats / "trials" / "002-89abcdef", "b")
    (repeats / "comparison").mkdir()
    (repeats / "trials" / "001-01234567").mkdir()  # its run is one that was there already
    (repeats / "trials" / "001-01234567" / "trial.json").touch()
    (tmp_path / "explanations" / "20261101T100000Z").mkdir(parents=True)
    (tmp_path / "check-data" / "birds").mkdir(parents=True)
    (tmp_path / "lenet" / "stray").mkdir()
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "comparisons" / "20261101T100000Z").mkdir(parents=True)
    (tmp_path / "lenet" / ".20261101T100000Z-seed1abc").mkdir()
    assert read_outputs(tmp_path).left_out == [
        ("notes", "no run: it has no config.yaml"),
        ("lenet/stray", "no run: it has no config.yaml"),
    ]


def test_nothing_outside_the_folder_is_read(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"versions": {"password": "hunter2"}}')
    outputs = tmp_path / "outputs"
    run = make_run(outputs, "linked record", pictures=("loss.png",))
    (run / "environment.json").unlink()
    (run / "environment.json").symlink_to(secret)
    other = make_run(outputs, "linked picture")
    draw_picture(tmp_path / "private.png")
    (other / "accuracy.png").symlink_to(tmp_path / "private.png")
    make_run(tmp_path / "elsewhere", "linked run")
    (outputs / "lenet" / "link").symlink_to(tmp_path / "elsewhere" / "lenet" / "linked run")
    found = read_outputs(outputs)
    write_page(outputs / "report.html", found, "embed")
    assert [run.place for run in found.runs] == ["lenet/linked picture"]
    assert sorted(place for place, _ in found.left_out) == ["lenet/link", "lenet/linked record"]
    assert "hunter2" not in (outputs / "report.html").read_text()
    assert read_content(outputs / "report.html")["runs"][0]["pictures"] == []


def test_a_pipe_in_place_of_a_record_does_not_hang(tmp_path):
    run = make_run(tmp_path, "a")
    (run / "history.csv").unlink()
    os.mkfifo(run / "history.csv")
    ((_, why),) = read_outputs(tmp_path).left_out
    assert "is no regular file" in why


def test_a_record_that_is_a_link_to_itself_is_told_of(tmp_path):
    run = make_run(tmp_path, "a", accuracy=None)
    (run / "metrics.json").symlink_to(run / "metrics.json")
    ((_, why),) = read_outputs(tmp_path).left_out
    assert "metrics.json: cannot be read" in why


def test_names_cannot_become_part_of_the_page(tmp_path):
    make_run(tmp_path, "<script>alert(1)<!--", experiment="<script>", classes=(HOSTILE, "dog"))
    make_run(tmp_path, "b", settings={"note": HOSTILE})
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    reader = read_page(tmp_path / "report.html")
    assert set(reader.scripts) == {"runs", "program"}
    runs = json.loads(reader.scripts["runs"])["runs"]
    assert {run["place"] for run in runs} == {"<script>/<script>alert(1)<!--", "lenet/b"}
    assert "<" not in reader.scripts["runs"]


def test_the_policy_allows_the_page_its_own_program_and_style_and_nothing_else(tmp_path):
    make_run(tmp_path, "a", pictures=("accuracy.png",))
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    reader = read_page(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digests = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (reader.scripts["program"], style[1])
    ]
    assert reader.policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert set(re.findall(r"https?://[^'\"\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_what_runs_have_in_common_is_said_once(tmp_path):
    for name, rate in (("a", 0.001), ("b", 0.001), ("c", 0.01)):
        make_run(tmp_path, name, rate=rate)
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "none")
    content = read_content(tmp_path / "report.html")
    assert content["experiments"]["lenet"]["config"]["training.optimizer.learning_rate"] == 0.001
    own = {run["name"]: run["config"]["own"] for run in content["runs"]}
    assert own == {"a": {}, "b": {}, "c": {"training.optimizer.learning_rate": 0.01}}
    common = content["experiments"]["lenet"]["environment"]
    assert common["command"] == "python scripts/lenet.py --out 'my runs'"
    assert common["versions.keras"] == "3.15.1"


def test_values_that_are_not_finite_reach_the_page_by_name(tmp_path):
    run = make_run(tmp_path, "a", epochs=1, settings={"model": {"clip": float("inf")}})
    history = [Epoch(1, float("nan"), 0.1, float("inf"), 0.1, 0.001, 1.0)]
    (run / "history.csv").write_text(format_history(history))
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    content = read_content(tmp_path / "report.html")
    assert content["runs"][0]["history"]["loss"] == ["nan"]
    assert content["runs"][0]["history"]["val_loss"] == ["inf"]
    assert content["experiments"]["lenet"]["config"]["model.clip"] == ".inf"


def test_embedded_pictures_are_the_files_byte_for_byte(tmp_path):
    run = make_run(tmp_path, "a", pictures=("zoom.png", "loss.png", "explain/filters.png"))
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    reader = read_page(tmp_path / "report.html")
    names = [
        picture["name"] for picture in json.loads(reader.scripts["runs"])["runs"][0]["pictures"]
    ]
    assert names == ["loss.png", "explain/filters.png", "zoom.png"]
    embedded = [base64.b64decode(text) for text in json.loads(reader.scripts["pictures-0"])]
    assert embedded == [(run / name).read_bytes() for name in names]


def test_beyond_the_limit_pictures_lose_colours_and_then_are_linked(tmp_path):
    for number in range(3):
        run = make_run(tmp_path, f"2026110{number + 1}T000000Z")
        draw_picture(run / "a b.png", shade=number)
    found = read_outputs(tmp_path)
    limit = sum(
        len(shrink_picture(strip_text((run.recorded.run.path / "a b.png").read_bytes())))
        for run in found.runs[:2]
    )
    said = write_page(tmp_path / "report.html", found, "auto", limit=limit)
    assert said == (
        "2 pictures embedded in 64 colours, 1 linked, so they show only beside the run folders"
    )
    reader = read_page(tmp_path / "report.html")
    pictures = [run["pictures"][0] for run in json.loads(reader.scripts["runs"])["runs"]]
    assert [picture["link"] for picture in pictures] == [
        None,
        None,
        "lenet/20261101T000000Z/a%20b.png",
    ]
    (text,) = json.loads(reader.scripts["pictures-0"])
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert image.mode == "P"


def test_beyond_the_limit_equal_pictures_are_embedded_once(tmp_path):
    for number in range(3):
        run = make_run(tmp_path, f"2026110{number + 1}T000000Z", pictures=("model.png",))
        draw_picture(run / "loss.png", shade=10 + number)
    runs = read_outputs(tmp_path)
    size = (tmp_path / "lenet" / "20261101T000000Z" / "model.png").stat().st_size
    assert write_page(tmp_path / "report.html", runs, "auto", limit=4 * size) == (
        "6 pictures embedded in 64 colours"
    )
    scripts = read_page(tmp_path / "report.html").scripts
    embedded = [json.loads(scripts[f"pictures-{number}"]) for number in range(3)]
    assert [own[1] for own in embedded[1:]] == [[0, 1], [0, 1]]
    assert len({own[0] for own in embedded}) == 3


def test_text_fields_are_stripped_and_nothing_else(tmp_path):
    draw_picture(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    stripped = strip_text(content)
    with Image.open(io.BytesIO(stripped)) as image, Image.open(tmp_path / "a.png") as original:
        assert image.info == {}
        assert image.tobytes() == original.tobytes()
    assert strip_text(stripped) == stripped
    for length in range(len(content)):
        assert len(strip_text(content[:length])) <= length


def test_a_file_that_is_no_picture_is_not_embedded(tmp_path):
    run = make_run(tmp_path, "a")
    (run / "loss.png").write_text("<svg onload=alert(1)>")
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "embed")
    assert json.loads(read_page(tmp_path / "report.html").scripts["pictures-0"]) == [""]
    assert shrink_picture((run / "loss.png").read_bytes()) == b""


def test_pictures_can_be_linked_or_left_away(tmp_path):
    make_run(tmp_path, "a", pictures=("loss.png",))
    found = read_outputs(tmp_path)
    page = tmp_path / "pages" / "report.html"
    assert write_page(page, found, "link").startswith("1 linked")
    assert read_content(page)["runs"][0]["pictures"][0]["link"] == "../lenet/a/loss.png"
    assert write_page(page, found, "none") == "no pictures"
    assert read_content(page)["runs"][0]["pictures"] == []


def test_keys_are_shortened_as_far_as_they_stay_apart():
    assert shorten_keys(
        ["training.optimizer.name", "a.rate", "b.rate", "phases.0.epochs", "phases.1.epochs"]
    ) == {
        "training.optimizer.name": "optimizer",
        "a.rate": "a.rate",
        "b.rate": "b.rate",
        "phases.0.epochs": "phases.0.epochs",
        "phases.1.epochs": "phases.1.epochs",
    }
    assert (
        describe_settings({"model.scaling": "unit", "x.rate": 1e-7}) == "scaling=unit, rate=1.0e-07"
    )


def test_the_command_writes_the_page_and_names_what_it_left_out(tmp_path):
    make_run(tmp_path, "a", pictures=("loss.png",))
    (tmp_path / "stray").mkdir()
    finished = epochlab("report", tmp_path)
    assert finished.returncode == 0, finished.stderr
    page = tmp_path / "report.html"
    size = page.stat().st_size / 1e6
    assert finished.stdout == f"1 run, {size:.1f} MB, 1 picture embedded\n{page}\n"
    assert finished.stderr == "not listed: stray: no run: it has no config.yaml\n"
    assert {path.name for path in tmp_path.iterdir()} == {"lenet", "stray", "report.html"}


def test_the_command_refuses_folders_without_runs(tmp_path):
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path, "has no run in it")):
        finished = epochlab("report", folder)
        assert finished.returncode == 4
        assert said in finished.stderr
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["pages", "."])
def test_the_command_refuses_a_folder_as_its_page_before_anything_is_read(
    tmp_path, monkeypatch, out
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pages").mkdir()
    finished = epochlab("report", "no such outputs", "--out", out)
    assert finished.returncode == 2
    assert finished.stderr == (
        f"error: {out}: is a folder; expected the name of an HTML file to write; give it with "
        f"--out, for example --out {Path(out, 'report.html')}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_the_command_does_not_replace_what_is_no_regular_file(tmp_path):
    make_run(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    finished = epochlab("report", tmp_path, "--out", tmp_path / "pipe")
    assert finished.returncode == 2
    assert "pipe: is no regular file; expected the name of an HTML file" in finished.stderr
    assert (tmp_path / "pipe").is_fifo()
