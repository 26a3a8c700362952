"""What an audit is: its model, pools, attacks and output, written in TOML.

In come a TOML file, options of the command line or what was typed into a form;
out goes an AuditSpec, or every problem with its key. Files are looked for, not
read.
"""

from tui_mia.spec.audit_spec import (
    ATTACK_ENTRY_POINTS,
    AeaSpec,
    AttacksSpec,
    AuditSpec,
    CsaSpec,
    EvidenceSpec,
    LossSpec,
    ModelSpec,
    OutputSpec,
    PoolName,
    PoolSpec,
    PoolsSpec,
    ReferenceSpec,
    RunSpec,
    WsaSpec,
)
from tui_mia.spec.problems import SpecError, SpecProblem
from tui_mia.spec.reading import check_document, load_spec, map_paths, pool_of, read_document, read_spec
from tui_mia.spec.sources import checkpoint_path, expand_source, has_own_weights
from tui_mia.spec.writing import dump_spec, write_document

__all__ = [
    "ATTACK_ENTRY_POINTS",
    "AeaSpec",
    "AttacksSpec",
    "AuditSpec",
    "CsaSpec",
    "EvidenceSpec",
    "LossSpec",
    "ModelSpec",
    "OutputSpec",
    "PoolName",
    "PoolSpec",
    "PoolsSpec",
    "ReferenceSpec",
    "RunSpec",
    "SpecError",
    "SpecProblem",
    "WsaSpec",
    "check_document",
    "checkpoint_path",
    "dump_spec",
    "expand_source",
    "has_own_weights",
    "load_spec",
    "map_paths",
    "pool_of",
    "read_document",
    "read_spec",
    "write_document",
]
