from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.report.conftest import StoreRun
from tui_mia.report import Include, gather
from tui_mia.report.contents import NoThumbnail, Thumbnail
from tui_mia.report.exposed import deciding_attack
from tui_mia.store import RunNotFound, summarise


def test_the_attack_that_the_verdict_names_first_decides(store_run: StoreRun) -> None:
    assert deciding_attack(summarise(store_run(), "run-a")) == "csa"


def test_without_a_verdict_there_is_still_an_attack_to_sort_by(store_run: StoreRun) -> None:
    assert deciding_attack(summarise(store_run(outcome=None), "run-a")) in ("csa", "wsa_rich")


def test_a_run_without_scores_has_no_attack_that_decides(store_run: StoreRun) -> None:
    report = gather(store_run(attacks=(), outcome=None), "run-a")
    assert report.decided_by is None
    for part in (report.exposed, report.curves, report.histograms):
        assert part == []


def test_a_run_that_is_not_there_is_an_error(store_run: StoreRun) -> None:
    with pytest.raises(RunNotFound):
        gather(store_run(), "run-z")


def test_the_lowest_p_values_come_first_and_of_equal_ones_the_highest_scores(store_run: StoreRun) -> None:
    exposed = gather(store_run(), "run-a", Include(samples=40)).exposed
    assert len(exposed) == 40
    order = [(sample.p_value, -sample.score) for sample in exposed]
    assert order == sorted(order)


def test_without_p_values_the_highest_scores_come_first(store_run: StoreRun) -> None:
    exposed = gather(store_run(labelled=False, nonmembers=0), "run-a").exposed
    assert [sample.rank for sample in exposed] == list(range(1, 13))
    assert all(sample.p_value is None for sample in exposed)


def test_only_candidates_are_shown_and_only_as_many_as_asked_for(store_run: StoreRun) -> None:
    database = store_run()
    assert all(sample.of == 40 for sample in gather(database, "run-a", Include(samples=40)).exposed)
    assert gather(database, "run-a", Include(samples=0)).exposed == []


def test_thumbnails_are_small_jpegs_without_what_came_with_the_picture(store_run: StoreRun) -> None:
    for sample in gather(store_run(), "run-a").exposed:
        assert isinstance(sample.picture, Thumbnail)
        encoded = base64.b64decode(sample.picture.uri.removeprefix("data:image/jpeg;base64,"))
        assert b"secret" not in encoded
        with Image.open(io.BytesIO(encoded)) as image:
            assert image.size == (sample.picture.width, sample.picture.height) == (160, 107)
            assert not image.getexif()


def test_pictures_and_captions_can_be_left_out(store_run: StoreRun) -> None:
    exposed = gather(store_run(), "run-a", Include(pictures=False, captions=False)).exposed
    assert all(sample.picture is None and sample.caption is None for sample in exposed)


def test_a_picture_that_is_gone_is_told_and_not_fatal(store_run: StoreRun, tmp_path: Path) -> None:
    database = store_run()
    shutil.rmtree(tmp_path / "pictures")
    for sample in gather(database, "run-a").exposed:
        assert isinstance(sample.picture, NoThumbnail)
        assert "is gone" in sample.picture.reason


def test_a_picture_that_has_changed_since_the_run_is_not_shown(store_run: StoreRun, tmp_path: Path) -> None:
    database = store_run()
    (first, *_) = gather(database, "run-a").exposed
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / f"{first.key}.jpg")
    (changed, *others) = gather(database, "run-a").exposed
    assert isinstance(changed.picture, NoThumbnail)
    assert "has changed since the run" in changed.picture.reason
    assert all(isinstance(sample.picture, Thumbnail) for sample in others)


def test_a_spec_that_can_not_be_read_costs_no_picture(store_run: StoreRun) -> None:
    report = gather(store_run(spec="not toml ["), "run-a")
    assert report.spec is None
    assert all(isinstance(sample.picture, Thumbnail) for sample in report.exposed)


def test_there_is_a_curve_for_labels_and_a_histogram_for_scores(store_run: StoreRun) -> None:
    report = gather(store_run(), "run-a")
    assert [curve.attack for curve in report.curves] == ["csa", "wsa_rich"]
    assert [histogram.attack for histogram in report.histograms] == ["csa", "wsa_rich"]


def test_without_labels_there_is_no_curve(store_run: StoreRun) -> None:
    report = gather(store_run(labelled=False), "run-a")
    assert report.curves == []
    assert report.is_group
    assert not report.is_labelled
