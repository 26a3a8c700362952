"""The form is the spec: every key of the models, with their own documentation."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from tui_mia.spec import AuditSpec, PoolSpec
from tui_mia.tui.panes.audit import spec_fields
from tui_mia.tui.panes.audit.spec_fields import all_groups, sections


def test_every_section_and_field_of_the_spec_is_there_with_its_documentation() -> None:
    assert [section.title for section in sections()] == [
        "Model", "Candidates", "Non-members", "General", "Bank", "Reference", "Attacks", "Evidence", "Run",
        "Output",
    ]  # fmt: skip
    fields = {field.key: field for group in all_groups() for field in group.fields}
    for name, inner in PoolSpec.model_fields.items():
        assert fields[f"pools.bank.{name}"].help == " ".join((inner.description or "").split())
    assert all(field.help for field in fields.values())
    assert fields["model.precision"].choices == ("exact", "fast")
    assert fields["attacks.wsa.lambda"].default == "auto"
    assert fields["attacks.wsa.lambda"].choices == ()
    assert fields["model.architecture"].required
    assert not fields["model.pretrained"].required


def test_only_what_a_spec_can_do_without_is_optional() -> None:
    optional = {group.table for group in all_groups() if group.optional}
    assert optional == {
        "pools.nonmembers", "pools.general", "pools.bank", "reference",
        "attacks.csa", "attacks.aea", "attacks.wsa", "attacks.loss",
    }  # fmt: skip
    assert all(AuditSpec.model_fields[name].is_required() for name in ("model", "pools"))


def test_a_section_has_its_own_keys_and_no_others() -> None:
    general = next(section for section in sections() if section.title == "General")
    assert general.pool == "general"
    assert general.has("pools.general")
    assert general.has("pools.general.source")
    assert not general.has("pools.generals")
    assert not general.has("pools")


def test_attacks_of_other_packages_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("theirs", "theirs:Attack", "tui_mia.attacks")]
    monkeypatch.setattr(spec_fields, "entry_points", lambda **_: points)
    assert spec_fields._attacks()[-1].table == "attacks.theirs"
    assert spec_fields._attacks()[-1].open
