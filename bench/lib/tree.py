# SPDX-License-Identifier: Apache-2.0
"""The tree that measures use: patients in a hundred wards, ten fields each."""


def write_zwr(path, nodes):
    """^T(ward, patient, field)."""
    with open(path, "w") as file:
        file.write("bench\n15-DEC-2026 03:05:00 ZWR\n")
        for patient in range(1, nodes // 10 + 1):
            ward = patient % 100
            file.writelines(f'^T({ward},{patient},"field {f}")="value {f} of {patient}, some text to search"\n'
                            for f in range(1, 11))
