import configparser
import os

import pytest

from hot.devices import known_devices
from hot.devices.ethos_config import ACCELERATORS, find_config
from hot.errors import InputError

MISSING = known_devices()["ethos-u55-128"].missing()
pytestmark = pytest.mark.skipif(
    MISSING is not None and os.environ.get("CI") != "true", reason=str(MISSING)
)


def test_the_table_holds_every_accelerator_of_vela():
    features = pytest.importorskip("ethosu.vela.architecture_features")
    assert set(ACCELERATORS) == set(features.Accelerator.member_list())
    for accelerator, row in features.ArchitectureFeatures.accelerator_configs.items():
        ours = ACCELERATORS[accelerator.value]
        assert (ours.macs, ours.cores) == (row.macs, row.cores)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_defaults_fit_and_add_up(name):
    config = find_config(name, "", "", "Performance")
    assert config.system_config.lower().startswith(name.rsplit("-", 1)[0].replace("-", "_"))
    assert config.memory_mode == "Shared_Sram"
    assert config.is_additive


def test_a_system_of_another_family_is_refused_with_those_allowed():
    with pytest.raises(InputError) as caught:
        find_config("ethos-u85-256", "Ethos_U55_High_End_Embedded", "", "Performance")
    assert "Ethos_U85_SYS_DRAM_Mid" in str(caught.value)
    assert "Known: Ethos_U85_SYS_DRAM_High" in str(caught.value)


def test_maps_cannot_lie_in_flash():
    """On a U55 the memory beside the SRAM is flash, and Dedicated_Sram keeps maps there."""
    with pytest.raises(InputError, match="Known: Shared_Sram, Sram_Only"):
        find_config("ethos-u55-128", "", "Dedicated_Sram", "Performance")
    with pytest.raises(InputError, match="Dedicated_Sram"):
        find_config("ethos-u85-256", "Ethos_U85_SYS_Flash_High", "Dedicated_Sram", "Performance")
    find_config("ethos-u65-512", "", "Dedicated_Sram_384KB", "Performance")


@pytest.mark.parametrize("mode", ["Dedicated_Sram_384KB", "Shared_Sram"])
def test_a_mode_inherits_what_it_does_not_say(mode):
    config = find_config("ethos-u65-512", "", mode, "Performance")
    ini = configparser.ConfigParser()
    ini.read(config.file)
    said = ini[f"Memory_Mode.{mode}"].get("arena_cache_size")
    assert config.arena_bytes == (int(said) if said else 2**40)
    assert config.clock_hz == 1e9


@pytest.mark.parametrize(
    ("mode", "optimise"), [("Dedicated_Sram_512KB", "Performance"), ("Shared_Sram", "Size")]
)
def test_other_modes_and_strategies_do_not_add_up(mode, optimise):
    assert not find_config("ethos-u85-256", "", mode, optimise).is_additive


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(InputError, match="did you mean 'ethos-u55-128'"):
        find_config("ethos-u55-129", "", "", "Performance")
    with pytest.raises(InputError, match="Known: Performance, Size"):
        find_config("ethos-u55-128", "", "", "performance")
