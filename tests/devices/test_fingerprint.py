from hot.devices.fingerprint import host_fingerprint


def test_the_fingerprint_names_what_decides_speed_and_only_text():
    fingerprint = host_fingerprint()
    assert {"cpu", "instructions", "cores", "system", "architecture"} == fingerprint.keys()
    assert all(isinstance(value, str) and value for value in fingerprint.values())
    assert int(fingerprint["cores"]) >= 1
