import logging
import shutil
from pathlib import Path

import pytest
import torch

from hot.errors import InputError, StorageError
from hot.nn import Library, build, seeded
from hot.space import SpaceSpec, load_spec


@pytest.fixture(scope="module")
def space():
    return load_spec(SpaceSpec("digits", width=0.7, resolution=8))


@pytest.fixture(scope="module")
def original(space):
    with seeded(1):
        module = build(space, space.original)
        for buffer in module.buffers():  # as a training leaves them: other than at the start
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return module


@pytest.fixture
def library(space, original, tmp_path):
    made = Library(tmp_path / "library", space)
    made.save_original(original, 0.875)
    return made


def smallest(space):
    return space.architecture((0,) * len(space.slots))


def changed(space, n):
    """The original, with another choice in the first `n` slots that have one; and those slots."""
    choices, slots = list(space.original.choices), []
    for i, slot in enumerate(space.slots):
        others = [choice for choice in slot.choices if choice != slot.original]
        if others and len(slots) < n:
            choices[i] = others[0]
            slots.append((slot, others[0]))
    return type(space.original)(tuple(choices)), slots


def fill(library, space, architecture, value):
    """Blocks of the architecture in which every weight is `value`."""
    module = build(space, architecture)
    for slot, choice in zip(space.slots, architecture.choices, strict=True):
        for index in range(len(slot.layers)):
            part = module.part(f"{slot.name}.{index}")
            with torch.no_grad():
                for weight in part.parameters():
                    weight.fill_(value)
            library.save_block(f"{slot.name}.{index}", choice, part)


def equal(first, second):
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_the_original_comes_back_with_its_metric_in_evaluation_mode(library, original):
    assert library.has_original()
    assert library.original_metric == 0.875
    loaded = library.original()
    assert not loaded.training
    assert equal(loaded, original)


def test_the_original_architecture_is_assembled_as_it_was_saved(library, space, original):
    assert equal(library.assemble(space.original), original)


def test_an_architecture_takes_fixed_parts_and_kept_slots_from_the_original_the_rest_from_blocks(
    library, space, original
):
    architecture, slots = changed(space, 2)
    fill(library, space, architecture, 0.25)
    library.save_original(original, 0.875)
    module = library.assemble(architecture, dropout=0.5)
    new = {slot.name for slot, _ in slots}
    assert equal(module.stem, original.stem)
    assert torch.equal(module.head.linear.weight, original.head.linear.weight)
    assert module.head.dropout.p == 0.5
    for slot in space.slots:
        part = module.part(f"{slot.name}.0")
        if slot.name in new:
            assert all(torch.all(weight == 0.25) for weight in part.parameters())
        else:
            assert equal(part, original.part(f"{slot.name}.0"))


def test_a_part_without_weights_keeps_its_initialisation_and_is_named(library, space, caplog):
    architecture, slots = changed(space, 1)
    torch.manual_seed(5)
    fresh = build(space, architecture)
    torch.manual_seed(5)
    with caplog.at_level(logging.WARNING):
        module = library.assemble(architecture)
    name = f"{slots[0][0].name}.0"
    assert equal(module.part(name), fresh.part(name))
    (record,) = caplog.records
    assert name in record.message and slots[0][1].key in record.message


def test_every_layer_of_a_slot_has_a_block_of_its_own(tmp_path):
    space = load_spec(SpaceSpec("mobilenetv2", width=0.35, resolution=32))
    slot = next(slot for slot in space.slots if len(slot.layers) > 1)
    library = Library(tmp_path, space)
    module = build(space, space.original)
    assert not library.has_block(f"{slot.name}.0", slot.original)
    library.save_block(f"{slot.name}.0", slot.original, module.part(f"{slot.name}.0"))
    assert library.has_block(f"{slot.name}.0", slot.original)
    assert library.block_state(f"{slot.name}.1", slot.original) is None


def test_the_digest_of_an_architecture_changes_with_its_weights_alone(library, space):
    architecture, ((slot, _),) = changed(space, 1)
    part = build(space, space.original).part(f"{slot.name}.0")
    digests = [library.digest_of(architecture)]
    library.save_block(f"{slot.name}.0", slot.choices[-1], part)  # of another choice
    assert library.digest_of(architecture) == digests[0]
    for value in (0.25, 0.125):
        fill(library, space, architecture, value)
        digests.append(library.digest_of(architecture))
    library.save_original(build(space, space.original), 0.5)
    digests.append(library.digest_of(architecture))
    assert len(set(digests)) == 4


def test_the_digest_of_the_original_is_that_of_its_file_alone(library, space):
    before, whole = library.digest_of(space.original), library.digest
    fill(library, space, smallest(space), 0.5)
    assert library.digest_of(space.original) == before
    assert library.digest != whole


def test_equal_weights_have_equal_digests(library, space, original, tmp_path):
    other = Library(tmp_path / "other", space)
    other.save_original(original, 0.875)
    assert other.digest == library.digest


def test_a_block_of_a_part_of_shared_memory_is_stored_without_the_rest(library, space):
    slot = space.slots[0]
    module = build(space, space.original).part(f"{slot.name}.0")
    large = torch.randn(1000, *next(module.parameters()).shape)
    next(module.parameters()).data = large[0]
    library.save_block(f"{slot.name}.0", slot.original, module)
    (file,) = library.folder.glob("blocks/*/*.pt")
    assert file.stat().st_size < large.nbytes / 10


def test_names_of_parts_cannot_leave_the_folder(library, space):
    module = torch.nn.Linear(2, 2)
    library.save_block("../a/b.0", space.slots[0].original, module)
    assert library.has_block("../a/b.0", space.slots[0].original)
    assert len(list(library.folder.glob("blocks/*/*.pt"))) == 1


# Bad input ---------------------------------------------------------------------------------------


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_empty_library_says_what_makes_it(space, tmp_path):
    library = Library(tmp_path, space)
    assert not library.has_original()
    for call in (library.original, lambda: library.assemble(space.original)):
        with pytest.raises(InputError, match=r"no original\.pt; search with the quality 'distill'"):
            call()


def test_a_file_cut_short_is_named_and_counts_as_missing(library, space, caplog):
    slot = space.slots[0]
    library.save_block("b1.0", slot.original, build(space, space.original).part(f"{slot.name}.0"))
    (block,) = library.folder.glob("blocks/*/*.pt")
    for path in (block, library.folder / "original.pt"):
        halve(path)
    assert not library.has_block("b1.0", slot.original) and not library.has_original()
    assert "original.pt is damaged" in caplog.text
    with pytest.raises(InputError, match=r"original\.pt is damaged .* remove it"):
        library.original()
    with pytest.raises(InputError, match="is damaged"):
        library.block_state("b1.0", slot.original)


def test_weights_of_another_space_are_refused(library, space):
    wider = Library(library.folder, load_spec(SpaceSpec("digits", width=1.0, resolution=8)))
    with pytest.raises(InputError, match=f"belongs to the space '{space.key}'"):
        wider.original()


def test_a_block_of_another_part_is_refused(library, space):
    architecture = space.original
    fill(library, space, architecture, 1.0)
    first, second = (f"{slot.name}.0" for slot in space.slots[:2])
    choice = space.slots[1].original
    target = library.folder / "blocks" / second / f"{choice.key}.pt"
    source = library.folder / "blocks" / first / f"{space.slots[0].original.key}.pt"
    shutil.copy(source, target)
    with pytest.raises(InputError, match=f"holds the block .* of '{first}'"):
        library.block_state(second, choice)


def test_other_files_are_refused(library, space):
    torch.save({"weights": 1}, library.folder / "original.pt")
    with pytest.raises(InputError, match="no file of a library"):
        library.original()
    torch.save([1], library.folder / "original.pt")
    with pytest.raises(InputError, match="it holds a list"):
        library.original()
    torch.save(torch.nn.Linear(2, 2), library.folder / "original.pt")
    with pytest.raises(InputError, match="is damaged"):
        library.original()


def test_weights_that_do_not_fit_are_named(library, space):
    library.save_original(torch.nn.Linear(2, 2), 0.5)
    with pytest.raises(InputError, match=r"original\.pt do not fit"):
        library.original()


def test_a_folder_that_cannot_be_written_is_named(space, original):
    with pytest.raises(StorageError, match="cannot write /proc"):
        Library(Path("/proc/library"), space).save_original(original, 0.5)
