"""The spec: what can be written, where its paths lead, and what a wrong one is told."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_mia.spec import (
    AuditSpec,
    SpecError,
    SpecProblem,
    check_document,
    checkpoint_path,
    dump_spec,
    expand_source,
    load_spec,
    map_paths,
    pool_of,
    read_document,
    read_spec,
    write_document,
)
from tui_mia.spec.sources import patterns

MINIMAL = (
    '[model]\narchitecture = "ViT-B-32"\npretrained = "laion2b"\n[pools.candidates]\nsource = "pairs.csv"\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the one source that `MINIMAL` names."""
    (tmp_path / "pairs.csv").write_text("image,caption\n")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str = MINIMAL, **overrides: Any) -> AuditSpec:
    return load_spec(
        written(folder, text), {key.replace("__", "."): value for key, value in overrides.items()}
    )


def error(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        loaded(folder, text)
    return str(caught.value)


# Names that TOML must escape, and those that it must not.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
pools = st.fixed_dictionaries(
    {"source": st.lists(texts, min_size=2, max_size=2)},
    optional={
        "image": texts,
        "caption": texts,
        "member": texts | st.just([True, False]),
        "keys": texts,
        "limit": st.integers(1, 10**12),
    },
)
specs = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {"architecture": texts},
            optional={"pretrained": texts, "precision": st.sampled_from(["exact", "fast"])},
        ),
        "pools": st.fixed_dictionaries(
            {"candidates": pools}, optional={"nonmembers": pools, "general": pools, "bank": pools}
        ),
    },
    optional={
        "reference": st.fixed_dictionaries(
            {"architecture": texts},
            optional={"pretrained": texts, "precision": st.sampled_from(["exact", "fast"])},
        ),
        "evidence": st.fixed_dictionaries(
            {"smallest_auc": st.floats(0.5, 1, exclude_min=True, exclude_max=True)}
        ),
        "attacks": st.fixed_dictionaries(
            {"csa": st.just({})},
            optional={
                "aea": st.fixed_dictionaries(
                    {"views": st.integers(1, 64), "seed": st.integers(0, 2**63 - 1)}
                ),
                "wsa": st.fixed_dictionaries(
                    {"lambda": st.floats(-5, 5) | st.just("auto"), "seeds": st.integers(1, 100)}
                ),
                "loss": st.just({}),
            },
        ),
        "run": st.fixed_dictionaries(
            {"seed": st.integers(0, 2**32 - 1)}, optional={"batch_size": st.just(7)}
        ),
        "output": st.fixed_dictionaries({"database": texts}),
    },
)


@settings(deadline=None)  # files on a busy machine
@given(document=specs)
def test_a_spec_reads_back_from_toml_as_it_was(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = AuditSpec.model_validate(document)
    path = tmp_path_factory.getbasetemp() / "roundtrip.toml"
    path.write_text(dump_spec(spec), encoding="utf-8")
    assert read_spec(path) == spec


# What TOML can hold, in place of any table or key of a spec.
values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["model.architecture", "model.pretrained", "model.device", "reference", "pools", "pools.candidates"]
KEYS += ["pools.candidates.source", "pools.candidates.member", "pools.general.keys", "attacks", "attacks.wsa"]
KEYS += ["attacks.wsa.lambda", "attacks.else", "evidence.smallest_auc", "run", "run.seed", "output.database"]


@settings(deadline=None)
@given(odd=st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=3))
def test_any_values_make_a_spec_or_an_error_in_words(odd: dict[str, Any]) -> None:
    document: dict[str, Any] = {
        "model": {"architecture": "ViT-B-32"},
        "pools": {"candidates": {"source": "x"}},
    }
    for key, value in odd.items():
        *tables, last = key.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                return
        table[last] = value
    told = "odd.toml: "
    try:
        check_document(document, Path("/nowhere"), "odd.toml")
    except SpecError as problem:
        told = str(problem)
    assert told.startswith("odd.toml: ")


def test_without_an_attacks_table_all_four_run(folder: Path) -> None:
    assert loaded(folder).attacks.requested() == ["csa", "aea", "wsa", "loss"]


def test_lambda_goes_by_its_name_in_the_paper(folder: Path) -> None:
    spec = loaded(folder, MINIMAL + "[attacks.wsa]\nlambda = 1.5\n")
    assert spec.attacks.wsa is not None
    assert spec.attacks.wsa.lambda_ == 1.5
    assert "lambda = 1.5" in dump_spec(spec)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('[model]\ndevise = "cpu"', ["model.devise", "unknown key", "did you mean 'device'?"]),
        ("[attacks.wsa]\nlamda = 1", ["attacks.wsa.lamda", "did you mean 'lambda'?"]),
        ("[attacks.aea]\nview = 3", ["attacks.aea.view", "did you mean 'views'?"]),
        ("[quux]", ["quux", "unknown key", "known are model, pools"]),
        ("[pools.candidate]", ["pools.candidate", "did you mean 'candidates'?"]),
        ("[attacks.cas]", ["attacks", "unknown attack 'cas'", "did you mean 'csa'?"]),
        ("[attacks]", ["attacks", "asks for no attack"]),
        ("[run]\nbatch_size = 0", ["run.batch_size", "greater than or equal to 1", "not 0"]),
        ("[run]\nseed = 'a'", ["run.seed", "integer", "not 'a'"]),
        ("[attacks.wsa]\nlambda = 'much'", ["attacks.wsa.lambda:", "number", "'auto'", "not 'much'"]),
        ("[attacks.aea]\nviews = 65", ["attacks.aea.views", "64"]),
        ("output = 3", ["output", "not 3"]),
        ("[evidence]\nsmallest_auc = 0.5", ["evidence.smallest_auc", "greater than 0.5", "not 0.5"]),
        ("[evidence]\nsmallest_auc = nan", ["evidence.smallest_auc", "not nan"]),
        ("[evidence]\nsmalest_auc = 0.6", ["evidence.smalest_auc", "did you mean 'smallest_auc'?"]),
        ("[reference]\npretrained = 'a'", ["reference.architecture", "is required but missing"]),
        ("[reference]\narchitecture = 'a'\ndevice = 'cpu'", ["reference.device", "unknown key"]),
        (
            "[reference]\narchitecture = 'local-dir:there'",
            ["reference.architecture", "there has no open_clip_config.json"],
        ),
        ("[reference]\narchitecture = 'a'\npretrained = 'there.pt'", ["reference.pretrained", "there.pt"]),
    ],
)
def test_an_error_names_the_file_the_key_and_what_to_do(folder: Path, change: str, words: list[str]) -> None:
    text = (
        change + MINIMAL.removeprefix("[model]") if change.startswith("[model]") else change + "\n" + MINIMAL
    )
    message = error(folder, text)
    assert message.startswith(str(folder / "audit.toml"))
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("[true, false]", "2 labels for 1 source"),
        ("3", "pools.candidates.member: must be a valid string, or: "),
    ],
)
def test_member_is_a_column_or_a_label_for_each_source(folder: Path, member: str, words: str) -> None:
    assert words in error(folder, MINIMAL + f"member = {member}\n")


def test_every_wrong_key_gets_a_line(folder: Path) -> None:
    message = error(folder, MINIMAL + "limit = 0\n[run]\nsede = 1\n")
    assert [line.split(": ")[1] for line in message.splitlines()] == ["pools.candidates.limit", "run.sede"]


def test_a_missing_key_is_named(folder: Path) -> None:
    message = error(folder, '[model]\npretrained = "openai"\n')
    assert "model.architecture: is required but missing" in message
    assert "pools: is required but missing" in message


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:999", "cuda:٣"])
def test_a_device_that_cannot_be_is_refused(folder: Path, device: str) -> None:
    assert "model.device" in error(folder, MINIMAL.replace("[pools", f'device = "{device}"\n[pools'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[run]\nengine = "ray"\ndevices = "all"', "run.devices names devices of this machine"),
        ('[run]\naddress = "10.0.0.1:6379"', 'run.address is for Ray; add run.engine = "ray"'),
        ("[run]\nactors = 2", 'run.actors is for Ray; add run.engine = "ray"'),
        ('[run]\nengine = "ray"\naddress = ""', "run.address: String should have at least 1 character"),
        ('[run]\nengine = "ray"\nactors = 0', "run.actors: must be greater than or equal to 1"),
        ('[run]\nengine = "spark"', "run.engine: must be 'local' or 'ray'"),
    ],
)  # fmt: skip
def test_what_is_for_ray_and_what_is_not_are_told_apart(folder: Path, text: str, message: str) -> None:
    assert message in error(folder, f"{MINIMAL}{text}\n")


def test_ray_gives_gpus_itself(folder: Path) -> None:
    on_ray: dict[str, Any] = {"run__engine": "ray", "run__actors": 2, "run__address": "10.0.0.1:6379"}
    assert loaded(folder, model__device="cuda", **on_ray).run.actors == 2
    with pytest.raises(SpecError, match=r"a GPU of this machine, and run.engine is ray"):
        loaded(folder, model__device="cuda:1", **on_ray)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[model", "is not valid TOML"), (b'a = "\xff"', "is not UTF-8 text")],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "audit.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_a_spec_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"audit\.toml: can't be read: No such file"):
        load_spec(tmp_path / "audit.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL.replace("pairs.csv", "gone.csv"), "pools.candidates.source: no file or folder matches"),
        (MINIMAL + 'keys = "gone.txt"', "pools.candidates.keys: there is no file"),
        (MINIMAL.replace('"laion2b"', '"gone.pt"'), "model.pretrained: there is no checkpoint"),
        (MINIMAL.replace("ViT-B-32", "local-dir:."), "has no open_clip_config.json"),
        (MINIMAL + '[output]\ndatabase = "."', "is a folder; name a file in it"),
        (MINIMAL.replace("pairs.csv", "~nobody-of-this-name/a.csv"), "no file or folder matches"),
        (MINIMAL.replace("pairs.csv", "x" * 5000), "no file or folder matches"),
        (MINIMAL.replace("pairs.csv", "a\\u0000b"), "no file or folder matches"),
    ],
)
def test_files_that_are_not_there_are_named(folder: Path, text: str, words: str) -> None:
    message = error(folder, text)
    assert message.startswith(str(folder / "audit.toml"))
    assert words in message


def test_a_member_of_a_brace_range_that_is_missing_is_named(folder: Path) -> None:
    for number in (0, 2):
        (folder / f"part-{number}.csv").touch()
    message = error(folder, MINIMAL.replace("pairs.csv", "part-{0..2}.csv"))
    assert "no file or folder matches" in message
    assert f"{folder / 'part-1.csv'}, of" in message


def test_paths_in_a_file_are_relative_to_it_and_those_of_options_to_the_current_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "more.csv").touch()
    monkeypatch.chdir(elsewhere)
    spec = loaded(folder, pools__general__source=["more.csv"], output__database="a.duckdb")
    assert spec.pools.candidates.source == [str(folder / "pairs.csv")]
    assert spec.pools.general is not None
    assert spec.pools.general.source == [str(elsewhere / "more.csv")]
    assert spec.output.database == str(elsewhere / "a.duckdb")


def test_the_paths_of_a_reference_are_relative_like_those_of_the_model(folder: Path) -> None:
    (folder / "there").mkdir()
    (folder / "there" / "open_clip_config.json").touch()
    (folder / "weights.pt").touch()
    spec = loaded(
        folder,
        MINIMAL.replace("laion2b", "weights.pt") + "[reference]\narchitecture = 'local-dir:there'\n",
        model__device="cpu",
        reference__precision="fast",
    )
    model = spec.reference_model
    assert model is not None
    assert model.architecture == f"local-dir:{folder / 'there'}"
    assert model.pretrained is None
    assert spec.model.pretrained == str(folder / "weights.pt")
    assert (model.device, model.precision) == ("cpu", "fast")


@pytest.mark.parametrize("table", ["model", "reference"])
@pytest.mark.parametrize("architecture", ["local-dir:there", "hf-hub:org/name"])
@pytest.mark.parametrize("pretrained", ["openai", "weights.pt", "gone.pt"])
def test_weights_beside_an_architecture_that_has_its_own_are_refused(
    folder: Path, table: str, architecture: str, pretrained: str
) -> None:
    (folder / "there").mkdir()
    (folder / "there" / "open_clip_config.json").touch()
    (folder / "weights.pt").touch()
    keys = f"architecture = '{architecture}'\npretrained = '{pretrained}'\n"
    candidates = "[pools.candidates]\nsource = 'pairs.csv'\n"
    model = "" if table == "model" else "[model]\narchitecture = 'ViT-B-32'\npretrained = 'openai'\n"
    message = error(folder, f"{model}[{table}]\n{keys}{candidates}")
    assert len(message.splitlines()) == 1
    assert f"{table}.pretrained: {architecture.partition(':')[0]}:" in message
    assert f"{pretrained} would not be loaded; leave it out, or name its architecture" in message
    loaded(folder, f"{model}[{table}]\narchitecture = '{architecture}'\n{candidates}")


@pytest.mark.parametrize("table", ["model", "reference"])
def test_a_tag_that_a_file_names_is_taken_away_by_an_empty_one(folder: Path, table: str) -> None:
    (folder / "there").mkdir()
    (folder / "there" / "open_clip_config.json").touch()
    both = f"{MINIMAL}\n[reference]\narchitecture = 'ViT-B-32'\npretrained = 'openai'\n"
    changed = {f"{table}__architecture": f"local-dir:{folder / 'there'}"}
    with pytest.raises(SpecError, match="openai would not be loaded; leave it out"):
        loaded(folder, both, **changed, model__pretrained="openai")
    spec = loaded(folder, both, **{"model__pretrained": "openai", **changed, f"{table}__pretrained": ""})
    models = {"model": spec.model, "reference": spec.reference}
    taken = models.pop(table)
    assert taken is not None
    assert taken.pretrained is None
    assert [model.pretrained for model in models.values() if model] == ["openai"]
    assert dump_spec(spec).count("pretrained") == 1


def test_a_spec_from_before_there_was_a_reference_has_none_and_the_default_of_the_evidence(
    folder: Path,
) -> None:
    spec = read_spec(written(folder, MINIMAL))
    assert spec.reference is None
    assert spec.reference_model is None
    assert spec.evidence.smallest_auc == 0.6


def test_a_relative_spec_path_makes_absolute_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, MINIMAL)
    monkeypatch.chdir(folder)
    assert load_spec(Path("audit.toml")).pools.candidates.source == [str(folder / "pairs.csv")]


def test_the_home_folder_can_be_written_as_a_tilde(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert loaded(folder, pools__candidates__source="~/pairs.csv").pools.candidates.source == [
        str(folder / "pairs.csv")
    ]


def test_options_need_no_file(folder: Path) -> None:
    spec = load_spec(
        None, {"model.architecture": "ViT-B-32", "pools.candidates.source": str(folder / "pairs.csv")}
    )
    assert spec.model.architecture == "ViT-B-32"
    with pytest.raises(SpecError, match=r"^options: model: is required but missing"):
        load_spec(None, {"pools.candidates.source": str(folder / "pairs.csv")})


def test_an_option_below_a_key_that_is_no_table_is_refused(folder: Path) -> None:
    with pytest.raises(SpecError, match="architecture is not a table"):
        loaded(folder, model__architecture__x=1)


def test_globs_and_brace_ranges_stand_for_the_files_there_are(tmp_path: Path) -> None:
    for name in ("a-000.tar", "a-001.tar", "a-010.tar", "b.tar", "{odd}.tar", "open{.tar"):
        (tmp_path / name).touch()

    def names(pattern: str) -> list[str]:
        return [path.name for path in expand_source(str(tmp_path / pattern))]

    assert names("a-*.tar") == ["a-000.tar", "a-001.tar", "a-010.tar"]
    assert names("a-{000..001}.tar") == ["a-000.tar", "a-001.tar"]
    assert names("{b,a-010}.tar") == ["b.tar", "a-010.tar"]
    assert names("{odd}.tar") == ["{odd}.tar"]
    assert names("open{.tar") == ["open{.tar"]
    assert names("none-*.tar") == []


@pytest.mark.timeout(10)
def test_no_path_has_a_nul_character(folder: Path) -> None:
    (folder / "there").mkdir()
    odd = "a\\u0000b"
    message = error(
        folder,
        f'[model]\narchitecture = "local-dir:{odd}"\n[reference]\narchitecture = "ViT-B-32"\n'
        f'pretrained = "{odd}.pt"\n[pools.candidates]\nsource = "{odd}.csv"\nkeys = "{odd}"\n'
        f'[output]\ndatabase = "{odd}.duckdb"\n',
    )
    keys = ("model.architecture", "reference.pretrained", "pools.candidates.source", "pools.candidates.keys")
    assert all(f"{key}: " in message for key in keys)
    assert "output.database: has a NUL character, which no file name has" in message


def test_links_that_lead_in_circles_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "below" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.tar", "below/deep/b.tar", "below/.hidden.tar", "elsewhere/c.tar"):
        (tmp_path / name).touch()
    for link in ("round", "and-round", "below/up"):
        (tmp_path / link).symlink_to(tmp_path)
    (tmp_path / "below" / "linked").symlink_to(tmp_path / "elsewhere")

    def names(pattern: str) -> list[str]:
        return [path.name for path in expand_source(f"{tmp_path}/{pattern}")]

    assert sorted(names("**/*.tar")) == ["a.tar", "b.tar", "c.tar"]
    assert names("below/**/**/b.tar") == ["b.tar"]
    assert names("bel*/**/deep/**") == ["deep", "b.tar"]
    assert names("none/**/*.tar") == []


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "source",
    [
        "{0..99999999999}.tar",
        "{a,b}" * 40,
        "{" + "{a,b}" * 40 + ",c}",
        "{a..z}" * 8,
        "{1..9}" * 30,
        "{" * 3000 + "}" * 3000,
        "{" + "9" * 400 + ".." + "8" * 400 + "}",
        "nul\0.tar",
        "nul\0/**/*.tar",
    ],
    ids=range(9),
)
def test_a_source_of_more_names_than_there_can_be_is_one_file_that_is_missing(source: str) -> None:
    assert expand_source(source) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed = " + "9" * 5000, "is not valid TOML: Exceeds the limit"),
        ("seed = " + "[" * 3000 + "]" * 3000, "nested deeper than 32"),
        ("seed." + "a." * 500 + "a = 1", "nested deeper than 32"),
        ("seed = 0x" + "f" * 6000, "must be less than .*, not a number of thousands of digits"),
        ('seed = "' + "a" * 70_000 + '"', r"must be a valid integer, not 'a{199}\.\.\."),
    ],
    ids=["digits", "lists", "tables", "hexadecimal digits", "text"],
)
def test_what_python_can_not_take_is_told_in_few_words(folder: Path, line: str, message: str) -> None:
    told = error(folder, f"{MINIMAL}\n[run]\n{line}\n")
    assert re.search(message, told)
    assert len(told) < 1000


@pytest.mark.parametrize("written", ["nan", "inf", "-inf"])
def test_lambda_is_a_number(folder: Path, written: str) -> None:
    told = error(folder, f"{MINIMAL}\n[attacks.wsa]\nlambda = {written}\n")
    assert "attacks.wsa.lambda: must be a finite number" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_looked_into_is_a_missing_file(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0)
    assert "no file or folder matches" in error(folder, MINIMAL.replace("pairs.csv", "closed/pairs.csv"))


@pytest.mark.parametrize(
    ("pretrained", "is_file"),
    [("laion2b_s34b_b79k", False), ("a.pt", True), ("a.safetensors", True), ("./a", True), (None, False)],
)
def test_a_checkpoint_file_is_told_from_a_tag(pretrained: str | None, is_file: bool) -> None:
    assert (checkpoint_path(pretrained) is not None) == is_file


def test_a_spec_whose_files_are_gone_can_still_be_read(folder: Path) -> None:
    spec = loaded(folder)
    path = written(folder, dump_spec(spec))
    (folder / "pairs.csv").unlink()
    assert read_spec(path) == spec


def test_naming_attacks_keeps_what_the_file_says_of_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    (tmp_path / "a.csv").touch()
    path.write_text(
        '[model]\narchitecture = "x"\n[pools.candidates]\nsource = "a.csv"\n'
        "[attacks.aea]\nviews = 3\nseed = 7\n[attacks.wsa]\nseeds = 2\n"
    )
    spec = load_spec(path, attacks=["csa", "aea"])
    assert spec.attacks.requested() == ["csa", "aea"]
    assert spec.attacks.aea is not None
    assert (spec.attacks.aea.views, spec.attacks.aea.seed) == (3, 7)


def test_attacks_that_are_no_table_are_an_error_also_when_attacks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    (tmp_path / "a.csv").touch()
    path.write_text('attacks = "csa"\n[model]\narchitecture = "x"\n[pools.candidates]\nsource = "a.csv"\n')
    with pytest.raises(SpecError, match="attacks"):
        load_spec(path, attacks=["csa"])


def test_every_problem_is_told_with_its_key_the_files_that_are_missing_too(tmp_path: Path) -> None:
    document = {
        "model": {"architecture": "local-dir:gone", "device": "gpu"},
        "pools": {"candidates": {"source": "gone.csv"}, "general": {"source": ["a.csv"], "limit": "many"}},
        "attacks": {"aea": {"views": "0"}},
        "output": {"database": "."},
    }
    with pytest.raises(SpecError) as caught:
        check_document(document, tmp_path, "the form")
    assert [problem.key for problem in caught.value.problems] == [
        "model.device",
        "pools.general.limit",
        "attacks.aea.views",
        "pools.candidates.source",
        "output.database",
    ]
    assert caught.value.problems[1] == SpecProblem(
        "pools.general.limit", "must be a valid integer, not 'many'"
    )
    assert (
        str(caught.value).splitlines()[1]
        == "the form: pools.general.limit: must be a valid integer, not 'many'"
    )


def test_what_was_typed_is_read_as_what_the_key_holds(folder: Path) -> None:
    document: dict[str, Any] = {
        "model": {"architecture": "ViT-B-32"},
        "pools": {"candidates": {"source": ["pairs.csv"], "limit": "70"}},
        "attacks": {"aea": {"views": "3"}, "wsa": {"lambda": "1.5"}},
    }
    spec = check_document(document, folder, "the form")
    assert spec.pools.candidates.limit == 70
    assert spec.pools.candidates.source == [str(folder / "pairs.csv")]
    assert spec.attacks.aea is not None
    assert spec.attacks.aea.views == 3
    assert spec.attacks.wsa is not None
    assert spec.attacks.wsa.lambda_ == 1.5
    assert document["pools"]["candidates"]["source"] == ["pairs.csv"], "checking changes nothing"


def test_a_file_name_that_is_no_text_is_refused_before_anything_is_written(folder: Path) -> None:
    document = {"model": {"architecture": "x"}, "pools": {"candidates": {"source": ["pairs.csv", "\udcff"]}}}
    with pytest.raises(SpecError, match="is not valid UTF-8; rename the file"):
        check_document(document, folder, "the form")


@given(document=specs, before=specs)
def test_a_document_is_written_over_another_as_it_is(
    document: dict[str, Any], before: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.unlink(missing_ok=True)
    for each in (before, document):
        write_document(each, path)
        assert read_document(path) == each


def test_writing_over_a_file_keeps_its_comments_and_what_is_not_changed(folder: Path) -> None:
    path = written(folder, f"# ours\n{MINIMAL}  # these\nlimit = 0x10\n\n[run]\nseed = 1 # dice\n")
    document = read_document(path)
    document["run"]["seed"] = 2
    document["model"]["device"] = "cpu"
    del document["model"]["pretrained"]
    write_document(document, path)
    assert path.read_text() == (
        '# ours\n[model]\narchitecture = "ViT-B-32"\ndevice = "cpu"\n'
        '[pools.candidates]\nsource = "pairs.csv"\n'
        "  # these\nlimit = 0x10\n\n[run]\nseed = 2 # dice\n"
    )


def test_writing_over_what_is_no_toml_and_through_a_link_replaces_the_file(tmp_path: Path) -> None:
    path, link = tmp_path / "a.toml", tmp_path / "link.toml"
    path.write_text("[[[")
    link.symlink_to(path)
    write_document({"a": 1}, link)
    assert link.is_symlink()
    assert read_document(path) == {"a": 1}
    assert sorted(tmp_path.iterdir()) == [path, link], "no temporary file is left"


def test_every_path_of_a_document_can_be_changed_and_a_checkpoint_stays_one() -> None:
    document = {
        "model": {"architecture": "local-dir:m"},
        "reference": {"architecture": "ViT-B-32", "pretrained": "./v"},
        "pools": {"general": {"source": ["a", "b"], "keys": "k", "caption": "c"}, "bank": {"source": "d"}},
        "output": {"database": "e"},
        "run": 3,
    }
    assert map_paths(document, lambda path: path.removeprefix("./").upper()) == {
        "model": {"architecture": "local-dir:M"},
        "reference": {"architecture": "ViT-B-32", "pretrained": "./V"},
        "pools": {"general": {"source": ["A", "B"], "keys": "K", "caption": "c"}, "bank": {"source": "D"}},
        "output": {"database": "E"},
        "run": 3,
    }
    assert map_paths({"model": {"pretrained": "laion2b"}}, str.upper) == {"model": {"pretrained": "laion2b"}}


def test_a_pool_can_be_had_from_a_document_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    document = {"model": 3, "pools": {"general": {"source": "a.csv"}, "bank": {"limit": 3}}}
    general = pool_of(document, tmp_path, "general")
    assert general is not None
    assert general.source == [str(tmp_path / "a.csv")]
    assert pool_of(document, tmp_path, "bank") is None
    assert pool_of({"pools": 3}, tmp_path, "bank") is None


@pytest.mark.parametrize("source", ["part-{0..99999999}.tar", "{0..1000}{0..1000}", "{0..%s}" % ("9" * 5000)])
def test_a_range_with_a_zero_too_many_is_a_file_name_and_not_all_the_memory(source: str) -> None:
    assert patterns(source) == [source]
