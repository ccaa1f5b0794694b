"""The command line: reads options, calls the chain, prints a table or one JSON document."""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from hot.cli_serve import serve, token
from hot.errors import HotError
from hot.interrupt import interruptible
from hot.options import (
    MODEL,
    SHAPE,
    device_options,
    lut_options,
    lut_section,
    make_target,
    model_options,
    quality_options,
    quality_section,
    refuse_with_lut,
    shape_options,
    space_options,
    space_spec,
    sweep_options,
    sweep_section,
    training_section,
)

_ENVIRONMENT = {  # what a machine may run out of anywhere, and what to do
    errno.ENOSPC: "free the disk (temporary files are in TMPDIR), then give the same command again",
    errno.EDQUOT: "free some of your quota, then give the same command again",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that can be written, or get the right to",
    errno.EPERM: "choose a folder that can be written, or get the right to",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then give the same command again",
    errno.ENOMEM: "free some memory, then give the same command again",
}
_QUIET = ("optuna", "torch", "onnxruntime", "PIL", "matplotlib", "fontTools", "sqlalchemy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits 0 done, 2 user error, 3 infeasible, 130 interrupted (resumable)."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.addLevelName(logging.INFO, "hot:")
    logging.addLevelName(logging.WARNING, "hot: warning:")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with interruptible():
            hot(args=arguments, prog_name="hot", standalone_mode=False)
    except HotError as error:
        click.echo(f"hot: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of stdout, as in `hot spaces | head -1`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            raise
        where = f" {error.filename}" if error.filename else ""
        click.echo(
            f"hot: cannot use{where}: {error.strerror}; {_ENVIRONMENT[error.errno]}", err=True
        )
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("hot: interrupted; the same command goes on where it stopped", err=True)
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hot")
def hot() -> None:
    """Provably best networks for a device: trained, quantised, measured.

    Start with: hot run CONFIG.yaml, or step by step: build-lut, autosearch, train, deploy, report.
    """


def show(document: dict[str, Any], as_json: bool, draw: Callable[[dict[str, Any]], None]) -> None:
    """Print the document as JSON on stdout, or as a person reads it."""
    if as_json:
        click.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        draw(document)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Decides all that is random.",
)
run_argument = click.argument("run", type=click.Path(path_type=Path))


@hot.command()
@json_option
def devices(as_json: bool) -> None:
    """What hot can measure or estimate on.

    Example: hot devices
    """
    from hot import views

    show(views.list_devices(), as_json, views.draw_devices)


@hot.command()
@click.argument("name", required=False)
@shape_options
@model_options
@json_option
def spaces(name: str | None, as_json: bool, **shape: Any) -> None:
    """List the search spaces, or show one: a space by name, or the one made of a model.

    Example: hot spaces mobilenetv2 --width 0.7
    """
    from hot import views

    spec = space_spec(name, **shape)
    if spec is None:
        show(views.list_spaces(), as_json, views.draw_spaces)
    else:
        show(views.show_space(spec), as_json, views.draw_space)


@hot.command("build-lut")
@space_options
@device_options
@lut_options
@click.option("--out", type=click.Path(path_type=Path), help="Also write a file below this folder.")
@click.option("--fresh", is_flag=True, help="Forget what was measured before.")
@seed_option
@json_option
def build_lut(
    space: str | None,
    device: str,
    threads: int | None,
    device_options: tuple[str, ...],
    precision: str,
    method: str | None,
    store: str | None,
    check_networks: int,
    correct: bool,
    out: Path | None,
    fresh: bool,
    seed: int,
    as_json: bool,
    **shape: Any,
) -> None:
    """Measure every operator of a space on a device; stopped at any moment, it goes on.

    Example: hot build-lut --space mobilenetv2 --resolution 96 --device cpu
    """
    from hot import pipeline, views
    from hot.lut import save_lut
    from hot.space import load_spec

    section = lut_section(precision, method, store, check_networks, correct)
    target = make_target(device, threads, device_options)
    spec = space_spec(space, **shape)
    if spec is None:
        raise click.UsageError("give --space or --model")
    lut = pipeline.make_lut(load_spec(spec), target, section, seed, fresh)
    document = views.describe_lut(lut)
    if out is not None:
        document["file"] = str(save_lut(lut, out))
    show(document, as_json, views.draw_lut)


@hot.command("check-lut")
@click.argument("lut")
@device_options
@click.option("--networks", type=click.IntRange(3), default=30, show_default=True, help="How many.")
@click.option("--correct", is_flag=True, help="Fit the LUT's table to these networks.")
@click.option("--figure", type=click.Path(path_type=Path), help="Write a scatter plot (PNG).")
@seed_option
@json_option
def check_lut(
    lut: str,
    device: str,
    threads: int | None,
    device_options: tuple[str, ...],
    networks: int,
    correct: bool,
    figure: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure whole networks that were not used to build LUT, and compare with its predictions.

    LUT is a file, or the name of one that ships with hot; a file keeps the result, one whose table
    was corrected only with --correct.

    Example: hot check-lut luts/cpu/mine.json --networks 30 --figure check.png
    """
    from hot import pipeline, views

    checked = pipeline.check_file(
        lut, make_target(device, threads, device_options), networks, seed, figure, correct
    )
    show(views.describe_lut(checked), as_json, views.draw_lut)


@hot.command("compare-luts")
@click.argument("first")
@click.argument("second")
@seed_option
@json_option
def compare_luts(first: str, second: str, seed: int, as_json: bool) -> None:
    """What every choice takes in the LUT SECOND over what it takes in FIRST.

    Both are of one space: int8 beside fp32, or one device beside another. Each is a file, or the
    name of one that ships with hot.

    Example: hot compare-luts luts/cpu/fp32.json luts/cpu/int8.json
    """
    from hot import comparison

    show(comparison.compare_files(first, second, seed), as_json, comparison.draw_comparison)


@hot.command()
@click.option("--space", help="A space by name, or a YAML file; without it, the LUT's.")
@shape_options
@model_options
@device_options
@lut_options
@click.option("--lut", help="A LUT file or the name of a shipped one; without it, --device's own.")
@click.option(
    "--objective",
    default="accuracy",
    show_default=True,
    help="What is best: accuracy, latency or energy.",
)
@click.option("--latency-budget", help="For example 30ms, or 80% (of the baseline's).")
@click.option("--memory-budget", help="Of the weights, for example 2MiB.")
@click.option("--activation-budget", help="Of the peak activations, for example 256KiB.")
@click.option("--energy-budget", help="Of one inference, for example 5mJ.")
@click.option("--macs-budget", help="For example 300M.")
@click.option("--min-quality", help="For example 90% (of the baseline's score).")
@click.option("--top-k", type=click.IntRange(1), default=8, show_default=True, help="How many.")
@click.option(
    "--min-distance",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Slots in which every two picks differ.",
)
@quality_options
@sweep_options
@click.option("--solver", default="exact", show_default=True, help="exact, cbc, highs or glpk.")
@click.option(
    "--time-limit", "time_limit_s", type=float, help="Seconds; then the best found, and its gap."
)
@click.option("--run", type=click.Path(path_type=Path), help="Save the picks in this run folder.")
@seed_option
@json_option
def autosearch(
    space: str | None,
    device: str,
    threads: int | None,
    device_options: tuple[str, ...],
    precision: str,
    method: str | None,
    store: str | None,
    check_networks: int,
    correct: bool,
    lut: str | None,
    run: Path | None,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """The k best architectures under budgets, each proven.

    Example: hot autosearch --space digits --objective latency --min-quality 100% --top-k 4
    """
    from hot import pipeline, views
    from hot.config import SearchSection
    from hot.files import validate
    from hot.precheck import check_searches
    from hot.space import load_spec

    shape = {key: settings.pop(key) for key in (*SHAPE, *MODEL)}
    quality, training = quality_section(settings)
    sweep = sweep_section(settings)
    section = validate(SearchSection, settings, "the options of hot autosearch")
    spec = space_spec(space, **shape)
    wanted = None if spec is None else load_spec(spec)
    if lut is not None:
        refuse_with_lut(has_space=wanted is not None)
        table = pipeline.open_lut(lut, wanted)
        wanted = wanted or pipeline.space_of(table)
        pipeline.tell_origin(table, wanted)
    elif wanted is not None:
        check_searches(wanted, [section], quality)
        how = lut_section(precision, method, store, check_networks, correct)
        table = pipeline.make_lut(wanted, make_target(device, threads, device_options), how, seed)
    else:
        raise click.UsageError("give --space or --model, or a LUT that knows its space by --lut")
    candidates, front = pipeline.search_once(
        table, wanted, section, quality, training, run, sweep, seed
    )
    show(views.list_candidates(table, candidates, front), as_json, views.draw_candidates)


@hot.command()
@run_argument
@click.option("--task", default="classification", show_default=True, help="Kind of problem.")
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="digits, cifar10, fashion_mnist, an NPZ or a folder.",
)
@click.option("--n-train", type=click.IntRange(1), help="Use so many training images.")
@click.option(
    "--trials", type=click.IntRange(1), default=1, show_default=True, help="Of each candidate."
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--sampler", default="tpe", show_default=True, help="tpe, gp or grid.")
@click.option("--pruner", default="none", show_default=True, help="none, median or hyperband.")
@click.option("--learning-rates", help="Ends of a range, or a grid: 0.02,0.2")
@click.option("--weight-decays", help="Ends of a range, or a grid: 1e-5,1e-3")
@click.option("--gammas", help="Ends of a range, or a grid: 0.3,0.5,0.7")
@click.option("--optimizers", help="Names: sgd,adamw")
@click.option("--recipe", type=click.Path(path_type=Path), help="A YAML file of recipe keys.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of those of the recipe.")
@click.option("--inherit", is_flag=True, help="Start from the original's and distilled weights.")
@click.option(
    "--distill-logits", type=float, help="Weight, up to 1, of what the original says of an image."
)
@click.option(
    "--distill-features", type=float, help="Weight of every slot's error against the original's."
)
@seed_option
@json_option
def train(run: Path, recipe: Path | None, seed: int, as_json: bool, **settings: Any) -> None:
    """Train the candidates of a run; the best trial of each is kept. Stopped, it goes on.

    Example: hot train runs/first --data digits --epochs 30 --trials 4 --learning-rates 0.02,0.2
    """
    from hot import pipeline, views
    from hot.records import RunFolder

    job = RunFolder.open(run)
    pipeline.train(job, training_section(recipe, settings), seed)
    show(views.summarise(job), as_json, views.draw_summary)


@hot.command()
@run_argument
@device_options
@click.option("--precision", default="int8", show_default=True, help="fp32, fp16, int16, int8.")
@json_option
def deploy(
    run: Path,
    device: str,
    threads: int | None,
    device_options: tuple[str, ...],
    precision: str,
    as_json: bool,
) -> None:
    """Export, quantise, verify and measure the trained candidates of a run, each as a bundle.

    Example: hot deploy runs/first --device cpu --precision int8
    """
    from hot import pipeline, views
    from hot.records import RunFolder

    job = RunFolder.open(run)
    pipeline.deploy_all(job, make_target(device, threads, device_options), precision)
    show(views.summarise(job), as_json, views.draw_summary)


@hot.command()
@run_argument
@json_option
def report(run: Path, as_json: bool) -> None:
    """Write one page with all figures of a run; it works offline.

    Example: hot report runs/first
    """
    from hot.records import RunFolder
    from hot.report import write_report

    page = write_report(RunFolder.open(run))
    show({"report": str(page)}, as_json, lambda document: click.echo(document["report"]))


@hot.command("run")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="The run; else the one in CONFIG, or runs/NAME.",
)
@json_option
def run_all(config: Path, folder: Path | None, as_json: bool) -> None:
    """The whole chain: LUT, search, training, deployment, report. Stopped anywhere, it goes on.

    Example: hot run scripts/quickstart.yaml --folder runs/first
    """
    from hot import pipeline, views
    from hot.config import load_config

    loaded = load_config(config)
    job = pipeline.run(loaded, folder or loaded.folder or Path("runs") / config.stem)
    show(views.summarise(job), as_json, views.draw_summary)


hot.add_command(serve)
hot.add_command(token)
