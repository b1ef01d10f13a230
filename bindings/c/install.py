#!/usr/bin/env python3
"""Installs the library, its headers, its .pc file and its CMake package under a prefix.

What is installed, and under which names, is said once: in [package.metadata.capi] of Cargo.toml,
which `cargo cinstall` reads too. This does the same where cargo-c is not at hand.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What a static library of Rust's standard library needs of the system.
SYSTEM_LIBRARIES = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"


def package() -> tuple[dict, Path]:
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"]
    told = json.loads(subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout)
    manifest = str(HERE / "Cargo.toml")
    found = [one for one in told["packages"] if one["manifest_path"] == manifest]
    return found[0], Path(told["target_directory"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prefix", type=Path, default=Path("/usr/local"))
    parser.add_argument("--libdir", help="under the prefix; default: lib", default="lib")
    parser.add_argument("--destdir", help="put before every path, for packagers", default="")
    parser.add_argument("--profile", choices=["release", "debug"], default="release")
    options = parser.parse_args()
    if not options.prefix.is_absolute():
        parser.error(f"--prefix {options.prefix} is not an absolute path")

    described, target = package()
    capi = described["metadata"]["capi"]
    version = described["version"]
    name = capi["library"]["name"]
    parts = version.split(".")
    soname_version = ".".join(parts[: capi["library"]["version_suffix_components"]])
    built = target / options.profile / f"lib{described['targets'][0]['name']}"
    if not built.with_suffix(".so").exists():
        flag = " --release" if options.profile == "release" else ""
        sys.exit(f"{built}.so is not there: run cargo build{flag} -p {described['name']} first")

    root = Path(options.destdir + str(options.prefix)) if options.destdir else options.prefix
    lib, include, share = root / options.libdir, root / "include", root / "share"

    install(built.with_suffix(".so"), lib / f"lib{name}.so.{version}", 0o755)
    link(lib / f"lib{name}.so.{soname_version}", f"lib{name}.so.{version}")
    link(lib / f"lib{name}.so", f"lib{name}.so.{version}")
    install(built.with_suffix(".a"), lib / f"lib{name}.a", 0o644)
    for kind, to in (("include", include), ("data", share)):
        for asset in capi["install"][kind]["asset"]:
            for found in sorted(glob.glob(asset["from"], root_dir=HERE)):
                install(HERE / found, to / asset["to"] / Path(found).name, 0o644)
    write(
        lib / "pkgconfig" / f"{capi['pkg_config']['filename']}.pc",
        f"prefix={options.prefix}\n"
        "exec_prefix=${prefix}\n"
        f"libdir=${{exec_prefix}}/{options.libdir}\n"
        "includedir=${prefix}/include\n\n"
        f"Name: {capi['pkg_config']['name']}\n"
        f"Description: {capi['pkg_config']['description']}\n"
        f"Version: {version}\n"
        f"Libs: -L${{libdir}} -l{name}\n"
        "Cflags: -I${includedir}\n"
        f"Libs.private: {SYSTEM_LIBRARIES}\n",
    )


def install(source: Path, to: Path, mode: int) -> None:
    print(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    # Beside, then in its place: programs that use the old one keep it.
    new = to.with_name(to.name + ".new")
    shutil.copyfile(source, new)
    new.chmod(mode)
    os.replace(new, to)


def link(place: Path, to: str) -> None:
    print(place)
    place.unlink(missing_ok=True)
    place.symlink_to(to)


def write(place: Path, text: str) -> None:
    print(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


if __name__ == "__main__":
    main()
