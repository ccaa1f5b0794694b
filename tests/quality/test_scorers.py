"""Quality tables come from counts or from a complete, finite file."""

import pytest

from hot.errors import InputError
from hot.quality import check_corrections, score
from hot.records import save_record
from hot.space import load_space

SPACE = load_space("digits")


def rows():
    return [f"{slot.name},{key},{i}.5" for i, slot in enumerate(SPACE.slots) for key in slot.keys]


def write(path, lines):
    path.write_text("\n".join(["slot,choice,score", *lines]) + "\n")
    return str(path)


@pytest.mark.parametrize(("scorer", "count"), [("macs", "macs"), ("params", "params")])
def test_the_score_of_a_network_is_its_count(scorer, count):
    table = score(SPACE, scorer)
    indices = SPACE.indices(SPACE.original)
    total = table.fixed + sum(row[i] for row, i in zip(table.values, indices, strict=True))
    assert total == getattr(SPACE.counts(SPACE.original), count)


def test_a_csv_file_gives_its_scores(tmp_path):
    table = score(SPACE, write(tmp_path / "q.csv", rows()))
    assert [row[0] for row in table.values] == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_a_saved_table_is_read_back(tmp_path):
    save_record(tmp_path / "q.json", score(SPACE))
    assert score(SPACE, str(tmp_path / "q.json")) == score(SPACE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r[1:], "no score for"),
        (lambda r: [*r, r[0]], "second score"),
        (lambda r: [*r, "b9,ir-e1-k3,1"], "no slot and choice"),
        (lambda r: [*r[1:], "b1,ir-e1-k3,nan"], "is nan"),
        (lambda r: [*r[1:], "b1,ir-e1-k3,high"], "'high' is no number"),
        (lambda r: [*r[1:], "b1,ir-e1-k3"], "None is no number"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        score(SPACE, write(tmp_path / "q.csv", change(rows())))


def test_a_table_of_another_space_is_refused(tmp_path):
    save_record(tmp_path / "q.json", score(load_space("digits", width=0.7)))
    with pytest.raises(InputError, match="was made for the space"):
        score(SPACE, str(tmp_path / "q.json"))


def test_an_unknown_scorer_names_the_known_ones():
    with pytest.raises(InputError, match="did you mean 'macs'"):
        score(SPACE, "mac")


def test_corrections_are_refused_where_no_blocks_are_trained(tmp_path):
    check_corrections("distill", 3)
    check_corrections("macs", 0)
    for name in ("macs", "naswot", str(tmp_path / "mine.csv")):
        with pytest.raises(InputError, match="choose the quality 'distill'"):
            check_corrections(name, 1)
