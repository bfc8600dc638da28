"""Write the files of this folder with the code of a release: `python tests/last_release/make.py CHECKOUT`.

CHECKOUT is a working copy of the release; nothing but this script and the installed libraries comes from elsewhere.
"""
# ruff: noqa: PLC0415 - what is imported comes from the checkout, which is known when main() runs

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("agent", "hw", "station", "provision")
NOT_CODE = {"broker", "cloud-init", "rpi-image-gen", "tryboot"}
UNIT, OPEN_UNIT, AGENCY = "unit-07", "unit-08", "Example Sheriff"
NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
ZIP_DATE = (2026, 1, 1, 0, 0, 0)
METADATA = "Metadata-Version: 2.1\nName: patrol-lpr\nVersion: {version}\n"


def main() -> None:
    """Make everything anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    sys.path[0] = str(checkout)
    for package in (*PACKAGES, "tests.builders"):
        loaded = Path(importlib.import_module(package).__file__ or "")
        if not loaded.is_relative_to(checkout):
            sys.exit(f"{package} comes from {loaded}, not from {checkout}")
    for name in ("keys", "outbox-open", "outbox-sealed", "station"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    make_zip(checkout)
    make_keys()
    held = {"outbox-open": make_outbox(sealed=False), "outbox-sealed": make_outbox(sealed=True)}
    told = {**held, "station": make_station()}
    (HERE / "expected.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def make_zip(checkout: Path) -> None:
    """The packages as PYTHONPATH takes them, with as much metadata as they ask for."""
    from importlib.metadata import version

    with zipfile.ZipFile(HERE / "release.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:

        def put(name: str, data: bytes) -> None:
            out.writestr(zipfile.ZipInfo(name, ZIP_DATE), data, zipfile.ZIP_DEFLATED, 9)

        for package in PACKAGES:
            for path in sorted((checkout / package).rglob("*")):
                inside = path.relative_to(checkout)
                if path.suffix in {".py", ".j2"} and not NOT_CODE & set(inside.parts):
                    put(
                        str(inside), without_prose(path.read_text()) if path.suffix == ".py" else path.read_bytes()
                    )
        number = version("patrol-lpr")
        put(f"patrol_lpr-{number}.dist-info/METADATA", METADATA.format(version=number).encode())


def without_prose(source: str) -> bytes:
    """The same program without comments and without the docstrings that nothing shows, to keep the archive small.

    Commands show those of their functions, which are decorated, the configuration those of its classes.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list
        ):
            kept = node.body[:1] if isinstance(node, ast.ClassDef) else []
            node.body = kept + [part for part in node.body[len(kept) :] if not is_text(part)]
            if not isinstance(node, ast.Module):
                node.body = node.body or [ast.Pass()]
    return (ast.unparse(tree) + "\n").encode()


def is_text(node: ast.stmt) -> bool:
    """True for a string that stands by itself."""
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )


def make_keys() -> None:
    """Test keys, in one folder for unit and station alike."""
    from agent.runtime.keys_command import make_release
    from agent.runtime.simulate_command import fresh_keys

    fresh_keys(HERE / "keys", UNIT)
    make_release(HERE / "keys")


def encoder(*, sealed: bool, unit: str = UNIT):
    """What the outbox stores records with."""
    from agent.seal import Sealer, SigningKey, StationKey

    from agent.sync.encoder import RecordEncoder
    from tests.builders import BOOT

    keys = HERE / "keys"
    sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
    return RecordEncoder(unit, AGENCY, BOOT, sealer if sealed else None)


def read(number: int):
    """An invented read with JPEGs that can be decoded; every fourth was made before there was a time."""
    import cv2
    import numpy as np

    from agent.records import Picture, PictureKind, TimeSource, TimeTag
    from tests.builders import make_read

    def picture(kind: PictureKind, width_px: int, height_px: int) -> Picture:
        pixels = np.random.default_rng((number, width_px)).integers(0, 255, (4, 8, 3), np.uint8)
        done, jpeg = cv2.imencode(".jpg", cv2.resize(pixels, (width_px, height_px)))
        assert done
        return Picture(kind, hashlib.sha256(jpeg.tobytes()).digest(), jpeg.tobytes(), width_px, height_px)

    pictures = (picture(PictureKind.PLATE, 32, 16), picture(PictureKind.OVERVIEW, 64, 36))
    other = {} if number % 4 else {"when": TimeTag(None, TimeSource.NONE, None)}
    return make_read(number, text=f"7ABC{number:03}", pictures=pictures, **other)


def fill(outbox, first: int) -> None:
    """Reads 1 to 8 are the numbers 1 to 8, the dating 9, the tombstone of 3 is 10, two reads more 11 and 12."""
    from agent.buffer import Quarantined
    from tests.builders import make_dating

    outbox.append([read(n) for n in range(first, first + 8)], [make_dating()])
    outbox.apply([Quarantined(3, "malformed")])
    outbox.discard(1)
    outbox.append([read(first + 8), read(first + 9)])


def make_outbox(*, sealed: bool) -> dict[str, object]:
    """The folder of a unit in the middle of its work.

    The open one was closed; the sealed one is what the disk holds after a power cut, with the write-ahead log.
    """
    from agent.buffer import Lane, Limits, OutboxReader, PictureStored, Quarantined, Receipted, open_outbox

    target = HERE / f"outbox-{'sealed' if sealed else 'open'}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limits = Limits(min_free_bytes=0, ballast_bytes=0)
        outbox, _ = open_outbox(folder, encoder(sealed=sealed), limits=limits)
        fill(outbox, 1)
        reader = OutboxReader(outbox.path)
        first = reader.records(after_seq=0, most=2)
        whole, begun = reader.pictures(Lane.PLATE, after_pic=0, most=2)
        outbox.apply(
            [
                Receipted(tuple((row.seq, row.record_id) for row in first)),
                Quarantined(4, "unknown_schema"),
                PictureStored(whole.sha256, whole.size_bytes),
                PictureStored(begun.sha256, 100),
            ]
        )
        told = {
            "stats": {key: getattr(reader.stats(), key) for key in STATS},
            "waiting": [
                [row.seq, row.kind.name.lower(), row.record_id.hex(), hashlib.sha256(row.payload).hexdigest()]
                for row in reader.records(after_seq=0, most=100)
            ],
            "quarantined": [[row.seq, code] for row, code in reader.quarantined(most=100)],
        }
        if sealed:
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*-shm"))
        reader.close()
        outbox.close()
        if not sealed:
            shutil.copytree(folder, target)
    return told


STATS = ("next_seq", "reads", "others", "quarantined", "plates", "overviews", "held")


def make_station() -> dict[str, object]:
    """A station's file with all that it keeps, and what it exports."""
    from agent.seal import Opener, load_keyring
    from agent.sync.topics import Channel, build
    from agent.sync.wire import HealthMessage, StatusMessage, UnitState, encode_health, encode_status
    from station.export import write_evidence

    from station.ingest import Ingest
    from station.store import Store
    from tests.builders import BOOT

    target = HERE / "station"
    target.mkdir()
    opener = Opener(load_keyring(HERE / "keys"))
    store = Store(target / "station.db", open_picture=opener.picture)
    now = [NOW_US - 400 * DAY_US]
    ingest = Ingest(store, "station-1", lambda: now[0], opener=opener, sealed_only=False)
    send(ingest, UNIT, sealed=True, up_to=2)
    now[0] = NOW_US
    send(ingest, UNIT, sealed=True, up_to=100)
    send(ingest, OPEN_UNIT, sealed=False, up_to=100)
    status = StatusMessage(UNIT, BOOT, UnitState.ONLINE, "", "patrol-lpr test", ("plate-det@00000000",))
    ingest.handle(build(UNIT, Channel.STATUS), encode_status(status))
    health = HealthMessage(UNIT, BOOT, 1, NOW_US, 12, (("frames.looked", 12_345),), (("soc_mc", 51_000),))
    ingest.handle(build(UNIT, Channel.HEALTH), encode_health(health))
    store.purge(NOW_US, 365, who="clerk")
    store.audit(NOW_US, "clerk", "export csv", len(store.reads(limit=100)))
    offer(store)
    write_evidence(store, target / "series.lpr", load_keyring(HERE / "keys"), None, now_us=NOW_US)
    told = {
        "reads": sorted([row.unit, row.seq, row.text, row.utc_us, row.pictures] for row in store.each_read()),
        "audit": [[row.utc_us, row.who, row.what, row.count] for row in store.audit_trail()],
        "pictures": store.count_pictures(),
        "refused": [ingest.counts.malformed, ingest.counts.unknown_schema, ingest.counts.key_unknown],
    }
    store.close()
    return told


def send(ingest, unit: str, *, sealed: bool, up_to: int) -> None:
    """What a unit sends of records up to a number, and its pictures with the last of them.

    Sealing draws randomness: a unit that is asked twice goes on with the outbox that it made at first.
    """
    from agent.sync.topics import Channel, build
    from agent.sync.wire import PictureChunk, encode_chunk

    from agent.buffer import Lane, Limits, OutboxReader, open_outbox
    from agent.records import PictureKind
    from tests.builders import BOOT

    folder = WORK / unit
    outbox, report = open_outbox(
        folder, encoder(sealed=sealed, unit=unit), limits=Limits(min_free_bytes=0, ballast_bytes=0)
    )
    if report.created:
        fill(outbox, 1 if unit == UNIT else 101)
    reader = OutboxReader(outbox.path)
    for row in reader.records(after_seq=0, most=up_to):
        ingest.handle(build(unit, Channel.READ), row.payload)
    for lane in Lane if up_to > 2 else ():
        for picture in reader.pictures(lane, after_pic=0, most=100):
            data = reader.jpeg(picture.pic) or b""
            kind = PictureKind(picture.kind)
            chunk = PictureChunk(unit, BOOT, picture.read_id, kind, picture.sha256, len(data), 0, data)
            ingest.handle(build(unit, Channel.PICTURE), encode_chunk(chunk))
    reader.close()
    outbox.close()


def offer(store) -> None:
    """An update of the configuration, so that a file lies beside the station's."""
    from agent.seal import SigningKey, VerifyKey
    from agent.update.envelope import verify_update
    from agent.update.making import Sources, Terms, make_update
    from station.updates import keep_file

    (WORK / "config.toml").write_text("[sync]\nhealth_s = 30\n")
    sources = Sources()
    sources.add_config(WORK / "config.toml")
    terms = Terms(5, ("*",), 1_700_000_000, 4_000_000_000, note="an example")
    key = SigningKey.load(HERE / "keys" / "release.key")
    make_update(WORK / "update.lprup", sources, terms, key)
    with (WORK / "update.lprup").open("rb") as file:
        manifest = verify_update(file, VerifyKey.load(HERE / "keys" / "release.pub"))
    store.offer(UNIT, manifest, keep_file(store.path, WORK / "update.lprup"), NOW_US, "clerk")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        WORK = Path(work)
        main()
