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
