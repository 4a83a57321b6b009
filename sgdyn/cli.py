"""The command line: `sgdyn fit`, `simulate`, `study`, `info`."""

from __future__ import annotations

import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The dynamics of stochastic gradient descent as a diffusion.",
    pretty_exceptions_enable=False,
)


INTERRUPTED = 130
UNSHOWN = (2, 9, 11, 13)
"""Columns of the report that a terminal has no room for."""


def _version(wanted: bool) -> None:
    if wanted:
        from sgdyn import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The dynamics of stochastic gradient descent as a diffusion."""


class SamplerName(StrEnum):
    """How batches are drawn."""

    replacement = "replacement"
    without = "without"
    epoch = "epoch"


@app.command()
def fit(
    model: Annotated[
        str | None,
        typer.Option(
            help="softmax, mlp, or module:function that returns a torch module. Default: the four built-in cases."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, or module:function that returns (x, y) or a Dataset.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="module:function of (output, target) -> (batch,), default cross entropy or squares."),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(help="Batch size.")] = None,
    sampler: Annotated[SamplerName | None, typer.Option(help="How batches are drawn.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Heavy-ball momentum in [0, 1).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    directions: Annotated[int | None, typer.Option(help="Number of top Hessian directions.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Independent SGD runs.")] = None,
    relaxations: Annotated[
        float | None, typer.Option(help="Length of the recording in relaxation times of the slowest direction.")
    ] = None,
    minimize: Annotated[
        bool | None, typer.Option(help="Go to a minimum first (default), or stay at the model's own weights.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="|grad U| that counts as a minimum. A ReLU network may end on a kink above it.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the model's weights and of SGD.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; a run that was killed there continues.")] = None,
    only: Annotated[int | None, typer.Option(help="Of the built-in cases run only this one (1-4).")] = None,
    recording: Annotated[
        Path | None,
        typer.Option(help="A run of yours instead: .npz with x (replica, time, k) and dt, or a saved Recording."),
    ] = None,
    dt: Annotated[
        float | None, typer.Option(help="Of --recording: time between two rows, if the file lacks it.")
    ] = None,
    skip: Annotated[int, typer.Option(help="Of --recording: rows to leave out at the beginning.")] = 0,
    odd: Annotated[
        list[int] | None,
        typer.Option(help="Of --recording: a coordinate that is a velocity (its sign changes backwards in time)."),
    ] = None,
) -> None:
    """Train to a minimum, extract D and H, predict SGD's stationary state, measure it, compare; write a report.

    With --recording: fit dynamics to a run that is there, and say whether a diffusion describes it.
    """
    options: dict[str, Any] = {
        "data": data, "loss": loss, "lr": lr, "batch": batch, "sampler": None if sampler is None else sampler.value, "momentum": momentum,
        "weight_decay": weight_decay, "directions": directions, "replicas": replicas, "relaxations": relaxations, "minimize": minimize, "tolerance": tolerance, "device": device, "seed": seed,
    }  # fmt: skip
    if recording is not None:
        _examine(recording, {"model": model, "only": only} | options, dt, skip, odd or [], seed or 0, out)
    elif dt is not None or skip or odd:
        _fail("got --dt, --skip or --odd without --recording, expected --recording run.npz too")
    else:
        _compare(model, only, options, out)


def _examine(
    path: Path, others: dict[str, Any], dt: float | None, skip: int, odd: list[int], seed: int, out: Path | None
) -> None:
    """The report on a run that is there."""
    from sgdyn.fit.examinations import default_folder, examine_file
    from sgdyn.fit.pages import headed
    from sgdyn.fit.run_files import load_run

    given = [f"--{name.replace('_', '-')}" for name, value in others.items() if value is not None and name != "seed"]
    if given:
        _fail(
            f"got {', '.join(given)} with --recording, whose run is over; expected only --dt, --skip, --odd, --seed, --out"
        )
    run = load_run(path, dt=dt, skip=skip, odd=odd)
    folder = out or default_folder(run, seed)
    examine_file(run, folder, seed=seed, tell=lambda section: typer.echo(headed(section.title, section.verdict)))
    _written(folder)


def _written(folder: Path) -> None:
    typer.echo(
        f"\nreport: {folder / 'report.html'}\nnumbers: {folder / 'result.npz'}\nmanifest: {folder / 'manifest.json'}"
    )


def _compare(model: str | None, only: int | None, options: dict[str, Any], out: Path | None) -> None:
    """The report on networks that are trained for it."""
    from sgdyn.fit.run import DEFAULT, Case, default_folder, run_all, with_options

    chosen = [Case(name=model, model=model)] if model else list(DEFAULT)
    if only is not None:
        chosen = (
            [chosen[only - 1]] if 1 <= only <= len(chosen) else _fail(f"got --only {only}, expected 1 to {len(chosen)}")
        )
    cases = [with_options(case, **options) for case in chosen]
    folder = out or default_folder(cases)
    run_all(cases, folder, _show)
    _written(folder)


def _show(outcome: Any) -> None:
    """The table and the verdict of one case."""
    from rich.console import Console
    from rich.table import Table

    from sgdyn.fit.evidence import evidence
    from sgdyn.fit.report import HEAD, rows, variance_unit

    c = outcome.comparison
    title = f"{outcome.case.name}: p = {outcome.network.dim}, lr = {outcome.case.lr:g}, batch = {outcome.case.batch}, sampler {outcome.case.sampler}"
    caption = (
        f"variances in units of {variance_unit(outcome):.0e}, times in steps, errors over {len(c.recording.x)} replicas"
    )
    table = Table(title=title, caption=caption, title_justify="left", padding=(0, 0))
    found = rows(outcome)
    shown = [i for i in range(len(HEAD)) if i not in UNSHOWN and any(row[i] for row in found)]
    for i in shown:
        table.add_column(
            HEAD[i].replace("curvature ", "").replace(" (steps)", "").replace("excess ", ""), justify="right"
        )
    for row in found:
        table.add_row(*(row[i] for i in shown))
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for line in evidence(c):
        console.print(line, highlight=False)
    console.print(f"[bold]{outcome.comparison.verdict}[/bold]\n", highlight=False)


@app.command()
def simulate(
    landscape: Annotated[
        str, typer.Argument(help="One of the known landscapes, as double_well or muller_brown.")
    ] = "double_well",
    temperature: Annotated[float, typer.Option("--temperature", "-T", help="T.")] = 0.1,
    time: Annotated[float, typer.Option(help="How long.")] = 10.0,
    dt: Annotated[float, typer.Option(help="Step.")] = 0.01,
    paths: Annotated[int, typer.Option(help="Number of paths, from the first minimum.")] = 1000,
    save: Annotated[int, typer.Option(help="Number of saved times.")] = 101,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for paths.npz and paths.png.")] = Path("runs/simulate"),
) -> None:
    """Simulate a known landscape and draw the paths."""
    import numpy as np

    import sgdyn as sg

    known = {maker.__name__: maker for maker in sg.landscapes.ALL}
    if landscape not in known:
        _fail(f"got {landscape!r}, expected one of {', '.join(known)}")
    scene = known[landscape]()
    ensemble = sg.simulate(
        scene.problem(temperature), scene.minima[0], t=time, dt=dt, n_paths=paths, save=save, seed=seed
    )
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "paths.npz", t=ensemble.t, x=ensemble.x)
    ensemble.plot().figure.savefig(out / "paths.png", dpi=150)
    typer.echo(
        f"{scene.name}, T = {temperature:g}\nmean at t = {ensemble.t[-1]:g}: {ensemble.mean()}\npaths: {out / 'paths.npz'}, {out / 'paths.png'}"
    )


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def study(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Which study; without a name, lists them with their options.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs"),
    fresh: Annotated[bool, typer.Option(help="Compute again even if the result is there.")] = False,
) -> None:
    """Run a study: arrays, figure and manifest go to a folder; options of the study as --name value."""
    from sgdyn import studies

    if name is None:
        for each in studies.NAMES:
            module = studies.load(each)
            typer.echo(f"{each}: {(module.__doc__ or '').strip().splitlines()[0]}\n    {module.Config()}")
        return
    module = studies.load(name)
    arrays, place = studies.perform(name, studies.configure(module, context.args), out, fresh=fresh)
    typer.echo(f"{module.summary(studies.configure(module, context.args), arrays)}\n{place / 'figure.png'}")


@app.command()
def info(clear_cache: Annotated[bool, typer.Option(help="Delete generated and compiled code.")] = False) -> None:
    """Versions, threads, devices, and where compiled code is kept."""
    from importlib import metadata

    import torch

    import sgdyn
    from sgdyn.codegen.jit import cache_directory
    from sgdyn.sde.walkers import available_threads

    place = cache_directory()
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    if clear_cache:
        shutil.rmtree(place)
    facts = {"sgdyn": sgdyn.__version__} | {
        name: metadata.version(name) for name in ("numpy", "scipy", "numba", "sympy", "torch")
    }
    devices = ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]
    state = f"{size / 2**20:.1f} MiB{', now deleted' if clear_cache else ''}"
    typer.echo(
        json.dumps(
            {**facts, "threads": available_threads(None), "devices": devices, "cache": f"{place} ({state})"}, indent=1
        )
    )


def _fail(message: str) -> Any:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)


def main() -> None:
    """Run the command line; errors of the user's input are one line, not a traceback."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's own answer to Ctrl-C
            typer.echo("interrupted; the same command continues", err=True)
        raise
    except (ValueError, TypeError, ArithmeticError, RuntimeError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
