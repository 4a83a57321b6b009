"""The progress bar: silent where nobody watches, there where somebody wants it."""

import sgdyn as sg
from sgdyn.progress import progress


def test_long_work_shows_a_bar_where_it_is_wanted(capsys):
    with progress("title of the work", True) as tell:
        for done in (0.2, 0.9, 1.0):
            tell(done)
    assert "title of the work" in capsys.readouterr().err


def test_nothing_is_printed_where_standard_error_is_no_terminal(capsys):
    sg.simulate(sg.landscapes.double_well().problem(0.1), [0.0], t=1, dt=0.1)
    sg.simulate(sg.landscapes.double_well().problem(0.1), [0.0], t=1, dt=0.1, show_progress=False)
    assert capsys.readouterr() == ("", "")
    sg.simulate(sg.landscapes.double_well().problem(0.1), [0.0], t=1, dt=0.1, show_progress=True)
    assert "simulate" in capsys.readouterr().err


def test_parts_of_longer_work_move_its_bar(monkeypatch):
    said = []
    monkeypatch.setattr("sgdyn.progress._Bar.__call__", lambda bar, done: said.append(round(done, 6)))
    with progress("whole", False) as whole:
        for k in range(2):
            whole.stage(k, 2)
            with progress("part", True) as part:
                part.stage(1, 2)
                with progress("part of the part") as inner:
                    inner(0.5)
    assert said == [0.0, 0.25, 0.375, 0.5, 0.75, 0.875]
    with progress("alone", False) as alone:
        alone(0.3)
    assert said[-1] == 0.3


def test_least_actions_tell_how_far_they_are(monkeypatch):
    said = []
    monkeypatch.setattr("sgdyn.progress._Bar.__call__", lambda bar, done: said.append(done))
    sg.minimum_action(sg.landscapes.maier_stein(5).problem(0.1), [-1, 0], [0, 0], n=64, starts=2)
    assert len(said) > 20 and said[0] == 0.0 and max(said) <= 1.0 and said[-1] > 0.8
    assert said == sorted(said)


def test_reach_tells_how_far_it_is_and_returns_what_is_done(monkeypatch):
    said = []
    monkeypatch.setattr("sgdyn.progress._Bar.__call__", lambda bar, done: said.append(done))
    problem, far = sg.landscapes.double_well().problem(0.1), lambda x: x[0] > 0.5
    options = {"t": 1.0, "grid": sg.Grid(((-2, 2, 200),)), "n": 64, "n_paths": 500}
    names = ["Laplace", "Fokker-Planck", "guided walks"]
    found = sg.reach(problem, [-1.0], far, methods=names, **options)
    assert len({round(s, 3) for s in said}) > 20 and max(said) <= 1.0 and "Ctrl-C" not in str(found)

    def impatient(bar, done):
        if done > 0.7:
            raise KeyboardInterrupt

    monkeypatch.setattr("sgdyn.progress._Bar.__call__", impatient)
    part = sg.reach(problem, [-1.0], far, methods=names, **options)
    assert float(part["Fokker-Planck"]) == float(found["Fokker-Planck"])
    assert part.table.excluded == {"guided walks": "interrupted by Ctrl-C"}
