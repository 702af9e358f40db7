"""The report page in headless Chromium, as a person uses it. Skipped where there is none."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_report import HOSTILE, draw_picture, make_run

import epochlab.report
from epochlab.report.outputs import read_outputs
from epochlab.report.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium here"),
]
MISSING = "\u2013"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs of two experiments, one of them unfinished, some with hostile names."""
    folder = tmp_path_factory.mktemp("outputs")
    pictures = ("accuracy.png", "loss.png")
    for day, rate, accuracy in ((1, 0.001, 0.9), (2, 0.01, 0.7), (3, 0.1, 0.95)):
        name = f"2026110{day}T100000Z-seed1"
        make_run(folder, name, rate=rate, accuracy=accuracy, pictures=pictures)
    make_run(folder, "20261104T100000Z-seed2", rate=0.1, seed=2, accuracy=None)
    hostile = {"experiment": "<img src=x onerror=alert(1)>", "classes": (HOSTILE, "dog")}
    make_run(folder, "20261029T100000Z-<b>", **hostile, settings={"__proto__": "a"})
    make_run(folder, "20261028T100000Z", **hostile, settings={"__proto__": HOSTILE})
    (folder / "stray <i>").mkdir()
    write_page(folder / "report.html", read_outputs(folder), "auto")
    return folder


@pytest.fixture
def page(browser: "Browser", outputs: Path) -> Iterator["Page"]:
    """The page, opened on a desktop; at the end, no error may have been reported."""
    yield from open_watched(browser, outputs / "report.html", width=1280)


def open_watched(browser: "Browser", path: Path, *, width: int) -> Iterator["Page"]:
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": width, "height": 844})
    opened.set_default_timeout(20_000)
    opened.on("console", lambda message: errors.append(message.text))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("dialog", lambda dialog: errors.append(dialog.message))
    opened.on("request", lambda request: errors.extend(outside(request.url, path)))
    opened.goto(path.as_uri())
    yield opened
    opened.close()
    assert errors == []


def outside(url: str, page: Path) -> list[str]:
    """What is asked for must be in the page itself or in its folder."""
    return [] if url.startswith(("data:", page.parent.as_uri())) else [url]


def column(page: "Page", label: str) -> list[str]:
    """The cells of a column from top to bottom."""
    labels = page.locator("#table thead th").all_inner_texts()
    return page.locator(f"#table tbody td:nth-child({labels.index(label) + 1})").all_inner_texts()


def tick(page: "Page", *names: str) -> None:
    for name in names:
        page.get_by_label(f"curves of lenet/{name}").check()


def wait_until(page: "Page", expression: str, value: object = None) -> None:
    """Waits until `expression`, or a function of `value`, is true in the page.

    `wait_for_function` asks again by `eval`, which the page's own policy forbids.
    """
    for _ in range(200):
        if page.evaluate(expression, value):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def kept_hash(page: "Page", ticked: list[str]) -> str:
    """The address, once `ticked` are the runs that it holds: it is written a little later."""
    wait_until(
        page,
        "ticked => String(new URLSearchParams(location.hash.slice(1)).getAll('tick')) === ticked",
        ",".join(ticked),
    )
    return page.evaluate("location.hash")


def test_a_click_on_a_header_sorts_and_another_one_turns_the_order(page):
    button = page.locator("[title=test_accuracy] button")
    button.click()
    shown = column(page, "test accuracy")
    assert shown == ["0.9500", "0.9000", "0.9000", "0.9000", "0.7000", MISSING]
    assert page.locator("[aria-sort]").get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert column(page, "test accuracy") == [*shown[-2::-1], MISSING]
    assert page.locator("[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_newest_run_comes_first(page):
    assert column(page, "run")[:2] == ["20261104T100000Z-seed2", "20261103T100000Z-seed1"]
    assert column(page, "state")[0] == "cut off"


def test_the_filter_takes_words_and_comparisons(page):
    for text, count in (
        ("lenet", 4),
        ("cut off", 1),
        ("learning_rate=0.1", 2),
        ("learning_rate<0.1 lenet", 2),
        ("training.optimizer.learning_rate>=0.01 seed=1", 2),
        ("test_accuracy>0.8", 4),
        ("optimizer.name=adam state!=finished", 1),
        ("no such thing", 0),
        ("unknown=1", 0),
    ):
        page.get_by_label("Filter runs").fill(text)
        assert page.locator("#table tbody tr").count() == count, text
        wait_until(
            page,
            "text => document.querySelector('#count').textContent === text",
            f"{count} of 6 runs",
        )


def test_the_filter_finds_settings_wherever_an_experiment_has_them(browser, tmp_path):
    for name, rate, planned in (("a", 0.001, 20), ("b", 0.01, 5)):
        optimizer = {"name": "adam", "learning_rate": rate}
        make_run(tmp_path, name, settings={"training": {"epochs": planned, "optimizer": optimizer}})
    phase = {"epochs": 12, "optimizer": {"name": "adam", "learning_rate": 0.001}}
    settings = {"training": {"keep": "last"}, "phases": [phase]}
    make_run(tmp_path, "c", experiment="vgg16", epochs=12, settings=settings)
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "none")
    for page in open_watched(browser, tmp_path / "report.html", width=1280):
        for text, names in (
            ("learning_rate=0.001", {"a", "c"}),
            ("learning_rate!=0.001", {"b"}),
            ("epochs>=10", {"c"}),  # those done, whatever settings have that name
            ("epochs=3", {"a", "b"}),
            ("training.epochs>=10", {"a"}),
            ("phases.0.epochs>=10", {"c"}),
        ):
            page.get_by_label("Filter runs").fill(text)
            assert set(column(page, "run")) == names, text


def test_an_experiment_has_only_its_own_columns(page):
    page.get_by_label("Experiment").select_option("lenet")
    labels = page.locator("#table thead th").all_inner_texts()
    assert labels[1:5] == ["run", "state", "seed", "learning_rate"]
    assert column(page, "learning_rate") == ["0.1", "0.1", "0.01", "0.001"]


def test_ticked_runs_have_curves_and_a_legend_of_what_differs(page):
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#chart .line").count() == 0
    tick(page, "20261101T100000Z-seed1", "20261103T100000Z-seed1", "20261104T100000Z-seed2")
    assert page.locator("#chart .line").count() == 3
    assert page.locator("#legend li").all_inner_texts() == [
        "learning_rate=0.001",
        "learning_rate=0.1, seed 1",
        "learning_rate=0.1, seed 2",
    ]
    assert page.locator("#chart .line path.training").first.get_attribute("d").count("L") == 2


def test_the_pointer_and_the_arrow_keys_show_the_values_of_an_epoch(page):
    page.get_by_role("button", name="Clear").click()
    tick(page, "20261101T100000Z-seed1")
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    rows = page.locator(".tooltip tr")
    assert rows.all_inner_texts() == ["epoch 2\ttrain\tval", "lenet\t0.7500\t0.7000"]
    page.locator("#chart").press("ArrowRight")
    assert rows.first.inner_text().startswith("epoch 3")


def test_metric_and_scale_can_be_changed(page):
    before = page.locator("#chart .axes text").all_text_contents()
    page.get_by_text("loss", exact=True).first.click()
    linear = page.locator("#chart .axes text").all_text_contents()
    page.get_by_label("log scale").check()
    logarithmic = page.locator("#chart .axes text").all_text_contents()
    assert len({tuple(before), tuple(linear), tuple(logarithmic)}) == 3
    assert "0.5" in logarithmic and "1" in logarithmic


def test_more_values_than_a_call_has_arguments_get_a_scale(browser):
    program = Path(epochlab.report.__path__[0], "scales.js").read_text()
    page = browser.new_page()
    found = page.evaluate(
        f"""() => {{
            {program}
            const values = Array.from({{ length: 200000 }}, (_, i) => 0.1 + i / 250000);
            const {{ at, ticks }} = makeScale(values, false, 300);
            return {{ ends: [at(values[0]), at(values.at(-1))].map(Math.round), ticks }};
        }}"""
    )
    page.close()
    # An axis of 300 pixels leaves 1/27 of its length free at either end.
    assert found == {"ends": [289, 11], "ticks": [0.2, 0.4, 0.6, 0.8]}


def test_a_run_opens_with_its_pictures_and_the_keyboard_closes_it(page):
    page.get_by_role("button", name="20261101T100000Z-seed1").click()
    pictures = page.locator("#details figure img")
    wait_until(
        page,
        "[...document.querySelectorAll('figure img')].every(image => image.naturalWidth)",
    )
    assert [picture.get_attribute("alt") for picture in pictures.all()] == [
        "Accuracy by epoch: training dashed, validation solid; lenet/20261101T100000Z-seed1",
        "Loss by epoch: training dashed, validation solid; lenet/20261101T100000Z-seed1",
    ]
    assert pictures.first.evaluate("image => image.naturalWidth") == 64
    text = page.locator("#details-body").inner_text()
    for part in ("training.optimizer.learning_rate", "0.001", "cat", "Files left out (1)"):
        assert part in text
    page.get_by_role("button", name="Run above").click()
    assert "20261102T100000Z-seed1" in page.locator("#details-heading").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()


def test_hostile_names_stay_text(page):
    page.get_by_role("button", name="20261029T100000Z-<b>").click()
    assert page.title() == "Runs in " + page.url.split("/")[-2]
    assert "onerror=alert(1)>" in page.locator("#details-heading").inner_text()
    assert page.get_by_text("Classes (2)").is_visible()
    assert HOSTILE in page.locator("#details-body").inner_text()
    page.keyboard.press("Escape")
    assert "stray <i>" in page.locator("#left-out").text_content()
    assert page.locator("img[src=x], main b, main i").count() == 0


def test_a_view_is_kept_in_the_address(page, browser, outputs):
    page.get_by_label("Filter runs").fill("seed=1")
    page.locator("[title=val_loss] button").click()
    page.get_by_role("button", name="Clear").click()
    tick(page, "20261102T100000Z-seed1")
    address = kept_hash(page, ["lenet/20261102T100000Z-seed1"])
    for other in open_watched(browser, outputs / "report.html", width=1280):
        other.evaluate("address => { location.hash = address; }", address)
        wait_until(other, "document.querySelectorAll('#legend li').length === 1")
        assert other.get_by_label("Filter runs").input_value() == "seed=1"
        assert other.locator("[aria-sort=ascending]").inner_text().startswith("val loss")
        assert other.locator("#table tbody input:checked").count() == 1


def test_a_phone_needs_no_scrolling_sideways(browser, outputs):
    for page in open_watched(browser, outputs / "report.html", width=390):
        wide = "document.documentElement.scrollWidth > innerWidth"
        assert not page.evaluate(wide)
        page.locator(".open").first.click()
        assert not page.evaluate(wide)
        assert page.locator("#details").bounding_box()["width"] == 390


def test_it_follows_the_dark_mode_of_the_system(page):
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert light == "rgb(246, 247, 248)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 23)"


def test_linked_and_damaged_pictures(browser, tmp_path):
    run = make_run(tmp_path, "a #1", pictures=("loss.png",))
    (run / "accuracy.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for mode in ("link", "embed"):
        write_page(tmp_path / f"{mode}.html", read_outputs(tmp_path), mode)
        for page in open_watched(browser, tmp_path / f"{mode}.html", width=1280):
            page.locator(".open").click()
            page.get_by_text("cannot be shown").wait_for()
            assert page.locator("figure img").evaluate("image => image.naturalWidth") == 64


def test_more_rows_than_a_screen_holds_all_arrive(browser, tmp_path):
    for number in range(130):
        run = make_run(tmp_path, f"run {number:03}", seed=number, epochs=1)
    draw_picture(run / "loss.png")
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    for page in open_watched(browser, tmp_path / "report.html", width=1280):
        wait_until(page, "document.querySelector('tbody').rows.length === 130")
        assert column(page, "run") == [f"run {number:03}" for number in reversed(range(130))]
        page.get_by_role("button", name="Tick all shown").click()
        assert page.locator("#chart .line").count() == 130


def test_a_page_without_a_run_that_can_be_read_says_so(browser, tmp_path):
    (make_run(tmp_path, "a") / "config.yaml").write_text("a: [")
    write_page(tmp_path / "report.html", read_outputs(tmp_path), "auto")
    for page in open_watched(browser, tmp_path / "report.html", width=390):
        assert page.locator("#left-out summary").inner_text() == "Not listed: 1 folder"
        assert "Tick runs" in page.locator("#chart").inner_text()
