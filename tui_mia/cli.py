"""Every command, one short function each.

stdout is data, stderr is narration. Imports are inside the functions, so that
`--help` is instant, and nothing here imports torch: audits run in a worker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tui_mia.exit_codes import ExitCode
from tui_mia.private import as_the_user_has_it, keep_private

if TYPE_CHECKING:
    from tui_mia.display import Display
    from tui_mia.display.progress import Face
    from tui_mia.runs import RunDirectory
    from tui_mia.spec import AuditSpec

app = typer.Typer(
    name="tui-mia",
    help="Was this image-caption pair in the training data of this CLIP-like model?\n\n"
    "Without a command the terminal app opens.",
    pretty_exceptions_enable=False,
    add_completion=True,
)

Database = Annotated[Path, typer.Option("--db", metavar="PATH", help="The DuckDB file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
Plain = Annotated[bool, typer.Option("--plain", help="Progress as plain lines, also on a terminal.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no result table; errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Tell of each shard too, here and in the run's worker.log.")
]
New = Annotated[bool, typer.Option("--new", help="Start afresh, also when the same audit is unfinished.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the start of it, or 'latest'.")]
SpecFile = Annotated[
    Path | None, typer.Argument(metavar="[AUDIT.TOML]", help="The spec; options go over it.")
]
Model = Annotated[str | None, typer.Option(help="open_clip architecture, local-dir:PATH or hf-hub:ORG/NAME.")]
Pretrained = Annotated[str | None, typer.Option(help="Pretrained tag or checkpoint file; '' for none.")]
Candidates = Annotated[list[str] | None, typer.Option(help="Source of the candidates; may be given again.")]
NonMembers = Annotated[list[str] | None, typer.Option(help="Source of known non-members.")]
General = Annotated[list[str] | None, typer.Option(help="Source of the general pool.")]
Attacks = Annotated[str | None, typer.Option(help="Which attacks, such as csa,aea.")]
Reference = Annotated[
    str | None, typer.Option(help="A model known not to have seen the candidates, named like --model.")
]
ReferencePretrained = Annotated[
    str | None, typer.Option(help="Pretrained tag or checkpoint file of the reference; '' for none.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option(help="exact or fast.")]
SpecDatabase = Annotated[Path | None, typer.Option("--db", metavar="PATH", help="The DuckDB file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the spec, as model.device=cpu."),
]
DEFAULT_DATABASE = Path("audits.duckdb")


class Outcome(StrEnum):
    LEAK = "leak"
    INCONCLUSIVE = "inconclusive"


# What is inconclusive is no reason to pass; a leak is less.
FAILING = {Outcome.LEAK: ("leak",), Outcome.INCONCLUSIVE: ("inconclusive", "leak")}
FailOn = Annotated[
    Outcome | None,
    typer.Option("--fail-on", help="Exit with 4 on a leak, or on that and on whatever is inconclusive."),
]


class ReportFormat(StrEnum):
    HTML = "html"
    MD = "md"
    JSON = "json"


class SampleModel(StrEnum):
    TARGET = "target"
    CONTROL = "control"
    REFERENCE = "reference"


def main() -> NoReturn:
    """Run the command line; a known error is a line on stderr and an exit code, never a traceback."""
    keep_private()
    try:
        app()
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        if code == ExitCode.INTERRUPTED:
            sys.exit(code)
        _fail(_words(error), code)
    sys.exit(ExitCode.DONE)


@app.callback(invoke_without_command=True)
def open_app(
    context: typer.Context,
    db: Annotated[Path | None, typer.Option("--db", metavar="PATH", help="The DuckDB file.")] = None,
    no_mouse: Annotated[
        bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal, in the app.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        if db is not None or no_mouse:
            name = context.invoked_subcommand
            _fail(f"write options after the command: tui-mia {name} --db PATH", ExitCode.USAGE)
        return
    # The app draws on stderr and reads keys from stdin.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        _fail("the app needs a terminal; without one: tui-mia run, runs, show, query", ExitCode.USAGE)
    from tui_mia.tui.app import TuiMia
    from tui_mia.tui.widgets.graphics import prepare_graphics

    opened = TuiMia(db or DEFAULT_DATABASE)
    # Before the app has the terminal: its graphics have to be asked for.
    if problem := prepare_graphics(opened.settings.images):
        opened.say(problem, "warning")
    opened.run(mouse=opened.settings.mouse and not no_mouse)
    sys.exit(opened.return_code or ExitCode.DONE)


@app.command()
def run(
    spec_file: SpecFile = None,
    model: Model = None,
    pretrained: Pretrained = None,
    candidates: Candidates = None,
    nonmembers: NonMembers = None,
    general: General = None,
    attacks: Attacks = None,
    reference: Reference = None,
    reference_pretrained: ReferencePretrained = None,
    device: Device = None,
    precision: Precision = None,
    db: SpecDatabase = None,
    set_: Set = None,
    new: New = False,
    json: Json = False,
    plain: Plain = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    fail_on: FailOn = None,
    task_index: Annotated[
        int | None,
        typer.Option(min=0, help="Encode the share of one task of an array only, counted from 0."),
    ] = None,
    task_count: Annotated[int | None, typer.Option(min=1, help="How many tasks the array has.")] = None,
) -> None:
    """Audit a model: carry out AUDIT.TOML, or what the options say."""
    given = {
        "model.architecture": model,
        "model.pretrained": pretrained,
        "reference.architecture": reference,
        "reference.pretrained": reference_pretrained,
        "model.device": device,
        "model.precision": precision,
        "pools.candidates.source": candidates,
        "pools.nonmembers.source": nonmembers,
        "pools.general.source": general,
        "output.database": db and str(db),
    }
    spec = _asked(spec_file, given, set_, attacks)
    if task_index is None and task_count is None:
        _audit(spec, new=new, json=json, plain=plain, quiet=quiet, verbose=verbose, fail_on=fail_on)
        return
    if task_index is None or task_count is None or task_index >= task_count:
        _fail("give both, --task-index from 0 to below --task-count", ExitCode.USAGE)
    if new or fail_on:
        _fail("--new and --fail-on are for whole runs; a task joins that of the others", ExitCode.USAGE)
    display = _display(json=json, plain=plain, quiet=quiet, verbose=verbose)
    _task(spec, task_index, task_count, display, json=json, verbose=verbose)


@app.command()
def check(
    spec_file: SpecFile = None,
    model: Model = None,
    pretrained: Pretrained = None,
    candidates: Candidates = None,
    nonmembers: NonMembers = None,
    general: General = None,
    attacks: Attacks = None,
    reference: Reference = None,
    reference_pretrained: ReferencePretrained = None,
    device: Device = None,
    precision: Precision = None,
    db: SpecDatabase = None,
    set_: Set = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read the first 1,000 entries of each source only.")
    ] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Say everything that can be known before a GPU is used: files, overlaps, memory, time, power."""
    from tui_mia.display import print_check
    from tui_mia.preflight import check_audit

    given = {
        "model.architecture": model,
        "model.pretrained": pretrained,
        "reference.architecture": reference,
        "reference.pretrained": reference_pretrained,
        "model.device": device,
        "model.precision": precision,
        "pools.candidates.source": candidates,
        "pools.nonmembers.source": nonmembers,
        "pools.general.source": general,
        "output.database": db and str(db),
    }
    spec = _asked(spec_file, given, set_, attacks)
    display = _display(json=json, plain=plain, quiet=False)
    try:
        found = check_audit(spec, quick=quick, on_progress=display.show)
    finally:
        display.close()
    if json:
        _print_json(found.document())
    else:
        print_check(found)
    if not found.can_run:
        sys.exit(ExitCode.USAGE)


@app.command()
def doctor(
    db: Database = DEFAULT_DATABASE,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", metavar="RUN", help="Measure nothing; write an archive on a run, for a bug report."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure this machine, and say what is chosen on it: number formats, batches, threads."""
    from tui_mia.display import print_machine
    from tui_mia.doctor import examine

    if bundle is not None:
        _bundle(bundle, db, json=json)
        return
    found = examine(db)
    if json:
        _print_json(found.document())
    else:
        print_machine(found)
    if found.failed is not None:
        sys.exit(ExitCode.FAILED)


@app.command()
def demo(
    db: Database = DEFAULT_DATABASE,
    model: Annotated[SampleModel, typer.Option(help="Which model of the sample world.")] = SampleModel.TARGET,
    json: Json = False,
    plain: Plain = False,
    quiet: Quiet = False,
) -> None:
    """Audit the sample world, end to end: clip art, and small models whose training data is known."""
    from tui_mia.demo import sample_world
    from tui_mia.spec import load_spec

    world = sample_world()
    overrides = {"output.database": str(db), "model.architecture": f"local-dir:{world / 'models' / model}"}
    _audit(load_spec(world / "audit.toml", overrides), new=False, json=json, plain=plain, quiet=quiet)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("audit.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented audit.toml to start from."""
    from tui_mia.spec_template import spec_template

    # Before the file is opened: who is interrupted meanwhile leaves none that is empty.
    text = spec_template()
    try:
        with as_the_user_has_it(), path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _fail(f"{path} is there already; --force writes over it", ExitCode.USAGE)
    except OSError as error:
        _fail(f"{path}: can't be written: {error.strerror}", ExitCode.FAILED)
    _say(f"wrote {path}; edit it, then: tui-mia run {path}")


@app.command()
def runs(db: Database = DEFAULT_DATABASE, json: Json = False) -> None:
    """List the runs in the database, newest first."""
    from tui_mia.display import print_runs
    from tui_mia.landing import unfinished
    from tui_mia.store import list_runs

    _land(db)
    for message in unfinished(db):
        _say(message)
    overviews = list_runs(db)
    if json:
        _print_json([overview.document() for overview in overviews])
    else:
        print_runs(overviews)


@app.command()
def show(run: Run, db: Database = DEFAULT_DATABASE, json: Json = False) -> None:
    """Show a run: what was audited, and the figures of each attack."""
    from tui_mia.display import print_error, print_summary
    from tui_mia.store import find_run, summarise

    _land(db)
    summary = summarise(db, find_run(db, run))
    if json:
        _print_json(summary.document())
    else:
        print_summary(summary)
        print_error(summary)


@app.command()
def verify(run: Run, db: Database = DEFAULT_DATABASE, json: Json = False) -> None:
    """Compute every figure, check and verdict of a run anew from what is stored, and compare."""
    from tui_mia.display import print_verification
    from tui_mia.store import find_run
    from tui_mia.verification import verify as verify_run

    _land(db)
    found = verify_run(db, find_run(db, run))
    if json:
        _print_json(found.document())
    else:
        print_verification(found)
    if found.differences:
        _fail(f"run {found.run_id}: what is stored does not follow from its scores", ExitCode.FAILED)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One statement that reads; docs/database.md has the tables.")],
    db: Database = DEFAULT_DATABASE,
    json: Json = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, as is done where stdout is no terminal.")
    ] = False,
) -> None:
    """Ask the database in SQL; it is open for reading only, and no other file can be touched."""
    from tui_mia.display import print_rows
    from tui_mia.display.data import write_csv, write_json
    from tui_mia.store import query as ask
    from tui_mia.store import stopped_by_control_c

    _land(db)
    with stopped_by_control_c() as handle, ask(db, sql, handle=handle) as result:
        if json:
            write_json(result.columns, result)
        elif csv or not sys.stdout.isatty():
            write_csv(result.columns, result)
        else:
            print_rows(result.columns, result)


@app.command()
def export(
    run: Run,
    output: Annotated[Path, typer.Argument(help="A .csv, .parquet or .json file.")],
    table: Annotated[
        str, typer.Option(help="Another table than the view of scores a sample.")
    ] = "sample_scores",
    db: Database = DEFAULT_DATABASE,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the scores of a run, or another of its tables, to a file."""
    from tui_mia.store import ExportError, export_run, find_run

    formats: dict[str, Any] = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
    if output.suffix not in formats:
        raise ExportError(f"{output}: name a file that ends in .csv, .parquet or .json")
    _land(db)
    rows = export_run(db, find_run(db, run), output, formats[output.suffix], table, overwrite=force)
    _say(f"wrote {rows:,} rows to {output}")


@app.command()
def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Argument(help="A .html, .md or .json file, or - for stdout.  [default: RUN_ID.html]"),
    ] = None,
    db: Database = DEFAULT_DATABASE,
    format_: Annotated[
        ReportFormat | None, typer.Option("--format", help="Where the name of OUTPUT does not say it.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Show no sample's picture.")] = False,
    no_captions: Annotated[bool, typer.Option("--no-captions", help="Show no sample's caption.")] = False,
    samples: Annotated[int, typer.Option(min=0, max=1000, help="How many samples to show.")] = 12,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a report on a run that stands by itself: verdict, figures, checks, the most exposed samples."""
    from tui_mia.report import Format, Include, format_of, gather, rendered, write_report
    from tui_mia.store import find_run

    to_stdout = output == Path("-")
    as_format = Format(format_) if format_ else format_of(None if to_stdout else output)
    _land(db)
    pictures = not no_pictures and as_format == Format.HTML
    found = gather(db, find_run(db, run), Include(pictures, not no_captions, samples))
    if to_stdout:
        typer.echo(rendered(found, as_format).encode(), nl=False)
    else:
        _say(f"wrote {write_report(found, output, as_format, overwrite=force)}")


@app.command()
def delete(
    run: Run,
    db: Database = DEFAULT_DATABASE,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a run: its rows in the database and its run directory."""
    from tui_mia.landing import forget

    _land(db)
    directory = _directory(run, db)
    if directory.is_running():
        _fail(f"run {directory.run_id} is going on; stop it first", ExitCode.FAILED)
    if not yes:
        typer.confirm(f"Delete run {directory.run_id} and its directory?", abort=True, err=True)
    forget(db, directory)
    _say(f"deleted {directory.run_id}")


@app.command()
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its directory.")],
    device: Annotated[
        str | None, typer.Option(help="Another device than the run's own, where that is gone.")
    ] = None,
    db: Database = DEFAULT_DATABASE,
    json: Json = False,
    plain: Plain = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Go on with a run that was cut off or failed, from the last part that it finished."""
    from tui_mia.headless import open_again
    from tui_mia.runs.opening import move

    display = _display(json=json, plain=plain, quiet=quiet, verbose=verbose)
    directory = _directory(run, db)
    opened = open_again(directory, display)
    if device is not None:
        move(directory, device)
    _see_through(opened, display, json=json, quiet=quiet, verbose=verbose)


@app.command()
def ingest(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.")],
    db: Annotated[
        Path | None, typer.Option("--db", metavar="PATH", help="Another DuckDB file than the run's own.")
    ] = None,
) -> None:
    """Put a finished run into its database, where that could not be done when it ended."""
    from tui_mia.landing import keep_below_limit, land
    from tui_mia.runs import RunDirectory

    opened = RunDirectory.open(directory)
    _say(f"run {opened.run_id} is in {land(opened, db)}")
    for message in keep_below_limit(opened.database):
        _say(message)


@app.command()
def config(
    keys: Annotated[bool, typer.Option("--keys", help="List the keys that [keymap] can change.")] = False,
    json: Json = False,
) -> None:
    """Show where the settings are and what they say."""
    from tui_mia.settings import SettingsError, load_settings, settings_path

    if keys:
        from tui_mia.tui.keys import all_keys

        listed = all_keys()
        if json:
            _print_json([{"id": key.id, "keys": key.keys, "does": key.does} for key in listed])
        else:
            for key in listed:
                typer.echo(f"{key.id:<24}{key.keys:<24}{key.does}")
        return
    path = settings_path()
    try:
        settings = load_settings(path)
    except SettingsError as error:
        _fail(str(error), ExitCode.USAGE)
    said = vars(settings)
    if json:
        _print_json({"path": str(path), "exists": path.exists(), **said})
        return
    _say(str(path) if path.exists() else f"{path} (not there: these are the defaults)")
    for name, value in said.items():
        typer.echo(f"{name} = {value}")


def _asked(
    spec_file: Path | None, given: Mapping[str, object], assignments: list[str] | None, attacks: str | None
) -> AuditSpec:
    """The spec of the file with the options of the command line over it."""
    from tui_mia.overrides import attack_names, parse_assignment
    from tui_mia.spec import load_spec

    overrides: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    overrides |= dict(parse_assignment(assignment) for assignment in assignments or [])
    return load_spec(spec_file, overrides, None if attacks is None else attack_names(attacks))


def _audit(
    spec: AuditSpec,
    *,
    new: bool,
    json: bool,
    plain: bool,
    quiet: bool,
    verbose: bool = False,
    fail_on: Outcome | None = None,
) -> None:
    from tui_mia.headless import open_run

    display = _display(json=json, plain=plain, quiet=quiet, verbose=verbose)
    _land(Path(spec.output.database))
    directory = open_run(spec, display, new=new)
    _see_through(directory, display, json=json, quiet=quiet, verbose=verbose, fail_on=fail_on)


def _task(spec: AuditSpec, index: int, count: int, display: Display, *, json: bool, verbose: bool) -> None:
    """Do one task of an array, and say how it went."""
    from tui_mia.headless import do_task, open_task

    try:
        task = open_task(spec, index, count, display)
        finished = do_task(task, display, verbose=verbose)
    finally:
        display.close()
    named = f"task {index} of {count} of run {task.run_id}"
    if json:
        _print_json(
            {
                "run_id": task.run_id,
                "run_directory": str(task.path),
                "task_index": index,
                "task_count": count,
                "status": finished.status,
                "error": finished.error,
            }
        )
    if finished.status == "failed":
        _fail(f"{named} failed: {finished.error}\nthe same command goes on with it", ExitCode.FAILED)
    if finished.status == "cancelled":
        _fail(f"{named} was cancelled; the same command goes on with it", ExitCode.INTERRUPTED)
    display.say(f"{named} is done; when all tasks are: tui-mia resume {task.path}")


def _see_through(
    directory: RunDirectory,
    display: Display,
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    fail_on: Outcome | None = None,
) -> None:
    """Follow a run to its end and say how it went."""
    from tui_mia.display import print_summary
    from tui_mia.headless import carry_out
    from tui_mia.store import summarise

    run_id = directory.run_id
    try:
        finished = carry_out(directory, display, verbose=verbose)
    finally:
        display.close()
    failed = (
        f"run {run_id} failed: {finished.error}\n`tui-mia resume {run_id}` goes on with what it had encoded"
    )
    if not directory.landed_path.exists():
        if finished.status == "failed":
            _fail(failed, ExitCode.FAILED)
        _fail(f"run {run_id} was cancelled; the database is in use", ExitCode.INTERRUPTED)
    summary = summarise(directory.database, run_id)
    if json:
        _print_json(summary.document())
    elif not quiet:
        print_summary(summary)
    if finished.status == "failed":
        _fail(failed, ExitCode.FAILED)
    if finished.status == "cancelled":
        _fail(f"run {run_id} was cancelled; the same command goes on with it", ExitCode.INTERRUPTED)
    if (
        fail_on is not None
        and summary.verdict is not None
        and summary.verdict.outcome.startswith(FAILING[fail_on])
    ):
        _fail(f"run {run_id}: the verdict is {summary.verdict.outcome} (--fail-on {fail_on})", ExitCode.FOUND)


def _display(*, json: bool, plain: bool, quiet: bool, verbose: bool = False) -> Display:
    from tui_mia.display import choose_display

    face: Face = "quiet" if json or quiet else "plain" if plain else "auto"
    return choose_display(face, verbose=verbose)


def _bundle(run: str, db: Path, *, json: bool) -> None:
    """Write what a bug report needs to know of a run, and say what is in it and what is not."""
    from tui_mia.bundle import LOOK_THROUGH, run_to_bundle, write_bundle

    written = write_bundle(run_to_bundle(db, run), db, Path.cwd())
    if json:
        _print_json(written.document())
        return
    _say(f"wrote {written.path.name}")
    for name, what in written.files.items():
        _say(f"  {name:<14}{what}")
    _say("left out:")
    for what in written.left_out:
        _say(f"  {what}")
    _say(LOOK_THROUGH)


def _directory(run: str, db: Path) -> RunDirectory:
    """The directory of a run that is named by its id, the start of it, `latest`, or its path."""
    from tui_mia.runs import RunDirectory, RunDirectoryError
    from tui_mia.runs.directory import runs_folder
    from tui_mia.store import find_run

    if Path(run).is_dir():
        return RunDirectory.open(Path(run))
    folder = runs_folder(Path(os.path.realpath(db)))
    found = [path for path in sorted(folder.glob("*/")) if run and path.name.startswith(run)]
    if len(found) > 1:
        raise RunDirectoryError(f"{len(found)} run directories fit {run!r} in {folder}")
    return RunDirectory(found[0] if found else folder / find_run(db, run))


def _land(database: Path) -> None:
    from tui_mia.landing import land_left_behind

    for message in land_left_behind(database):
        _say(message)


def _say(message: str) -> None:
    """A line of narration on stderr."""
    from tui_mia.clean import printable

    typer.echo(printable(message), err=True)


def _print_json(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2, default=str))


def _exit_code(error: Exception) -> ExitCode | None:
    """The exit code of an error that a user can act on; None for a defect of ours."""
    from tui_mia.runs import RunDirectoryError
    from tui_mia.spec import SpecError
    from tui_mia.store import DatabaseLocked, StoreError, is_interrupt

    if is_interrupt(error):
        return ExitCode.INTERRUPTED
    if isinstance(error, DatabaseLocked):
        return ExitCode.LOCKED
    if isinstance(error, SpecError):
        return ExitCode.USAGE
    return ExitCode.FAILED if isinstance(error, StoreError | RunDirectoryError | OSError) else None


def _words(error: Exception) -> str:
    """What a user reads of an error that is known; of a full disk, where it is and how full."""
    from tui_mia.runs.space import full_message, is_full

    if isinstance(error, OSError) and is_full(error) and error.filename:
        return f"{full_message(Path(error.filename).absolute().parent, error)}; make space, then try again"
    return str(error)


def _fail(message: str, code: ExitCode) -> NoReturn:
    from tui_mia.clean import printable

    lines = "\n".join(printable(line) for line in message.splitlines())
    typer.echo(f"tui-mia: {lines}", err=True)
    sys.exit(code)
