"""``patrol-lpr provision``: authority, certificates, cards, images, flashing, first boot."""

from __future__ import annotations

import datetime as dt
import grp
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, beside
from hw.output import output
from hw.paths import CONFIG_DIR
from protocol.seal.keys import RECEIPT_PUBLIC, SigningKey, StationKey, VerifyKey, fingerprint
from provision.ca_store import CaStore
from provision.card import Card, load_card
from provision.card_config import load_card_config
from provision.enrol import server
from provision.errors import ProvisionError
from provision.first_boot import clock_is_credible, enrol, find_card, set_clock, utc_from_sentences
from provision.flash import check_image, check_target, check_unused, write
from provision.image import build, put_card
from provision.pki import issue, load_authority, make_authority, now_utc, write_private
from provision.release_key import check_signature, sign_image
from provision.renew import renew

app = typer.Typer(
    help="Set up a fleet: authority, images, cards, enrolment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
AuthorityArgument = Annotated[Path, typer.Argument(help="Folder of the authority.")]
UnitArgument = Annotated[str, typer.Argument(help="Id of the unit.")]
_SERVICE_GROUP = "patrol-lpr"
_GNSS_PATIENCE_S = 240.0
_MAX_PORT, _MAX_HOST, _MAX_AGENCY = 65_535, 253, 64


@app.command()
def ca(
    folder: AuthorityArgument,
    name: Annotated[str, typer.Option(help="Name of the authority.")] = "patrol-lpr fleet",
) -> None:
    """Create the fleet's certificate authority; keep the folder offline except for enrolment."""
    authority = make_authority(folder, name)
    _say(f"{folder}: {authority.cert.subject.rfc4514_string()}; ca.key controls the fleet: protect it")


@app.command("issue")
def issue_command(
    folder: AuthorityArgument,
    name: Annotated[str, typer.Argument(help="Common name: broker, station, enrol ...")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.key, NAME.pem and ca.pem.")],
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address clients use; repeatable; for servers.")
    ] = None,
) -> None:
    """Create key and certificate of a broker, an enrolment server (with --host) or a station."""
    authority = load_authority(folder)
    _check_free(out, name, authority.pem)
    if CaStore(folder).knows(name):
        raise ProvisionError(
            f"{name}: a unit has this name; its certificate comes from its card: use another name"
        )
    key, cert = issue(authority, name, hosts=host or ())
    out.mkdir(parents=True, exist_ok=True)
    write_private(out / f"{name}.key", key)
    (out / f"{name}.pem").write_bytes(cert)
    (out / "ca.pem").write_bytes(authority.pem)
    _say(f"{out / name}.pem")


def _check_free(out: Path, name: str, authority_pem: bytes) -> None:
    """Raises ProvisionError if a key, a certificate or another fleet's authority would be overwritten."""
    if not name or Path(name).name != name or name == "ca":
        raise ProvisionError(f"{name!r}: not a valid name for the files of a server or station")
    for path in (out / f"{name}.key", out / f"{name}.pem"):
        if path.exists():
            raise ProvisionError(
                f"{path}: already exists; keys are never overwritten: move it, or use another folder"
            )
    ca = out / "ca.pem"
    if ca.exists() and ca.read_bytes() != authority_pem:
        raise ProvisionError(f"{ca}: another authority's certificate; use another folder")


@app.command()
def card(
    folder: AuthorityArgument,
    unit: UnitArgument,
    *,
    agency: Annotated[str, typer.Option(help="Agency that owns the reads.")],
    enrol_at: Annotated[str, typer.Option(help="HOST:PORT of `provision serve`.")],
    broker: Annotated[str, typer.Option(help="HOST:PORT of the broker.")],
    station_key: Annotated[
        Path, typer.Option(help="station.pub of the station that can decrypt the unit's reads.")
    ],
    release_key: Annotated[
        Path | None, typer.Option(help="release.pub for updates; if omitted, the unit accepts none.")
    ] = None,
    receipt_key: Annotated[
        Path | None, typer.Option(help="receipt.pub of that station; if omitted, the one next to station.pub.")
    ] = None,
    hotlist_key: Annotated[
        Path | None, typer.Option(help="hotlist.pub of the list authorities; if omitted, there are no hot lists.")
    ] = None,
    policy_key: Annotated[
        Path | None, typer.Option(help="policy.pub that signs policies; if omitted, only hits are kept.")
    ] = None,
    agency_key: Annotated[
        Path | None,
        typer.Option(help="agency.pub that signs the roster of officers; if omitted, nobody signs on."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML with the unit's [hw] and other tables, installed at its first boot; "
            "if omitted, a Pi camera and a serial receiver."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("provision.json"),
    hours: Annotated[float, typer.Option(min=0.1, max=8_784, help="Hours until the token expires.")] = 72,
    again: Annotated[
        bool, typer.Option("--again", help="Allow it for an enrolled unit, whose board gets a new card.")
    ] = False,
) -> None:
    """Create a unit's card with a single-use token; earlier unused cards of the unit become invalid."""
    ca_store = CaStore(folder)
    ca_store.check_name(unit)
    if not 0 < len(agency.strip()) <= _MAX_AGENCY or not agency.isprintable():
        raise typer.BadParameter(f"must be a text of 1 to {_MAX_AGENCY} characters", param_hint="--agency")
    config_toml = "" if config is None else load_card_config(config)
    if not again:
        ca_store.check_free(unit)
    expires = now_utc() + dt.timedelta(hours=hours)
    (enrol_host, enrol_port), (broker_host, broker_port) = _address(enrol_at), _address(broker)
    receipts = receipt_key or station_key.with_name(RECEIPT_PUBLIC)
    receipt_pem = b"".join(known.pem() for known in VerifyKey.load_all(receipts)).decode()
    # The token, which makes those of earlier cards invalid, only once the file can be written.
    with output(out, private=True) as file:
        made = Card(
            unit=unit, agency=agency, enrol_host=enrol_host, enrol_port=enrol_port, broker_host=broker_host,
            broker_port=broker_port, token=ca_store.new_token(unit, expires_s=int(expires.timestamp())),
            ca_pem=ca_store.ca_pem.decode(), station_pem=StationKey.load_public(station_key).pem().decode(),
            release_pem=None if release_key is None else VerifyKey.load(release_key).pem().decode(),
            receipt_pem=receipt_pem, config_toml=config_toml, hotlist_pem=_pems(hotlist_key),
            policy_pem=_pems(policy_key), agency_pem=_pems(agency_key),
        )  # fmt: skip
        # An image of an older release refuses keys that it does not know.
        file.write(made.model_dump_json(indent=1, exclude_none=True).encode())
    beside(out).print(f"{out}: unit {unit}, token valid until {expires:%Y-%m-%d %H:%M} UTC, for one unit, once")


def _pems(path: Path | None) -> str | None:
    """The public keys in a file; raises KeyFileError."""
    return None if path is None else b"".join(known.pem() for known in VerifyKey.load_all(path)).decode()


@app.command()
def serve(
    folder: AuthorityArgument,
    cert: Annotated[Path, typer.Option(help="Certificate of this server, from `provision issue`.")],
    key: Annotated[Path, typer.Option(help="Its private key.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8443,
) -> None:
    """Run the enrolment and renewal server until Ctrl-C."""
    made = server(CaStore(folder), host, port, cert=cert, key=key)
    sys.stdout.write(f"enrolling at https://{host}:{made.server_address[1]}; Ctrl-C to stop\n")
    sys.stdout.flush()
    try:
        made.serve_forever()
    except KeyboardInterrupt:
        made.server_close()


@app.command()
def revoke(folder: AuthorityArgument, unit: UnitArgument) -> None:
    """Revoke a unit's certificates; then copy crl.pem to the broker, which must be restarted (docs/provisioning.md)."""
    count = CaStore(folder).revoke(unit, now=now_utc())
    _say(f"{count} certificates of {unit} revoked; copy {folder}/crl.pem to the broker and restart it")


@app.command()
def crl(folder: AuthorityArgument) -> None:
    """Write crl.pem again, valid for a year; copy it to the broker, which refuses all clients when it has expired."""
    until = CaStore(folder).write_crl(now=now_utc())
    _say(f"{folder}/crl.pem is valid until {until:%Y-%m-%d}; copy it to the broker and restart it")


@app.command("list")
def list_command(
    folder: AuthorityArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")] = False,
) -> None:
    """List all certificates that were issued."""
    rows = CaStore(folder).listing()
    if as_json:
        print_json(rows)
        return
    table = TextTable("unit", "serial", "issued", "revoked")
    for row in rows:
        table.add_row(
            row.unit, row.serial[:16], _day(row.issued_s), "-" if row.revoked_s is None else _day(row.revoked_s)
        )
    print_table(table)


@app.command()
def image(
    base: Annotated[Path, typer.Argument(help="Uncompressed Raspberry Pi OS or Debian image.")],
    out: Annotated[
        Path, typer.Option(help="The new image; OUT.sha256 is written next to it, with --key also OUT.sig.")
    ],
    wheels: Annotated[Path, typer.Option(help="Folder with the wheels of patrol-lpr and its dependencies.")],
    systemd: Annotated[Path, typer.Option(help="Folder of the systemd files.")] = Path("systemd"),
    key: Annotated[
        Path | None, typer.Option(help="Sign with this release.key, from `patrol-lpr keys release`.")
    ] = None,
) -> None:
    """Create an image for the whole fleet, without secrets.  Needs root."""
    signer = None if key is None else SigningKey.load(key)
    build(base, out, systemd=systemd, wheels=wheels)
    _say(f"{out}: ready; hash in {out.name}.sha256")
    if signer is None:
        _say(f"not signed; sign it with `patrol-lpr provision sign {out} --key release.key`")
    else:
        _say(f"signed: {sign_image(out, signer).name}")


@app.command()
def sign(
    image_file: Annotated[Path, typer.Argument(help="The image, with its .sha256 next to it.")],
    key: Annotated[Path, typer.Option(help="The release.key.")],
) -> None:
    """Sign an image with the release key, on the machine that holds it."""
    check_image(image_file)
    _say(f"signed: {sign_image(image_file, SigningKey.load(key))}")


@app.command("put-card")
def put_card_command(
    target: Annotated[Path, typer.Argument(help="A copy of the image, or a flashed card such as /dev/sdb.")],
    card_file: Annotated[Path, typer.Argument(help="The unit's provision.json.")],
) -> None:
    """Copy a unit's card to the boot partition."""
    unit = load_card(card_file).unit
    check_unused(target)
    put_card(target, card_file)
    _say(
        f"{target}: contains the card of {unit}; start the unit before the token expires, then delete {card_file}"
    )


@app.command()
def flash(
    image_file: Annotated[Path, typer.Argument(help="The image, with its .sha256 next to it.")],
    device: Annotated[Path, typer.Argument(help="The whole card, such as /dev/sdb; `lsblk` lists disks.")],
    really: Annotated[
        bool, typer.Option("--really", help="Write; without this option nothing is written.")
    ] = False,
    key: Annotated[Path | None, typer.Option(help="release.pub that must have signed the image.")] = None,
) -> None:
    """Write an image to a card and read it back; refuses disks in use.  Dry run without --really."""
    digest = check_image(image_file)
    if key is None:
        _say(
            "only the hash was checked, which detects a damaged image, not a replaced one; "
            "--key release.pub checks the signature"
        )
    else:
        _say(
            f"{image_file.name}: signed by {key}, fingerprint {fingerprint(check_signature(image_file, key).raw)}"
        )
    size = check_target(device, image_file)
    _say(f"{image_file.name} ({digest[:16]}...) fits {device} ({size:,} bytes), which is not in use")
    if not really:
        _say("dry run: nothing was written; use --really to write")
        return
    columns = (TextColumn("{task.description:7}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as bars:
        total = image_file.stat().st_size
        tasks = {step: bars.add_task(step, total=total) for step in ("write", "verify")}
        write(image_file, device, expected=digest, progress=lambda step, n: bars.advance(tasks[step], n))
    _say(f"{device}: written and read back, equal; next: the unit's card (`patrol-lpr provision put-card`)")


@app.command("first-boot")
def first_boot(
    etc: Annotated[Path, typer.Option(help="Folder for keys and configuration.")] = CONFIG_DIR,
    boot: Annotated[list[Path] | None, typer.Option(help="Boot partitions to search for the card.")] = None,
) -> None:
    """On the unit: create keys, enrol, install the configuration, delete the token; does nothing without a card."""
    path = find_card(boot or [Path("/boot/firmware"), Path("/boot")])
    if path is None:
        _say("no card: nothing to do")
        return
    _see_to_the_clock(load_card(path))
    enrol(path, etc, done=_say, group=_group())
    _say("enrolled")


@app.command("renew")
def renew_command(
    etc: Annotated[Path, typer.Option(help="Folder of keys and certificate.")] = CONFIG_DIR,
) -> None:
    """On the unit: renew the certificate after two thirds of its lifetime; run daily by a timer."""
    _say("renewed" if renew(etc, now=now_utc(), group=_group()) else "not yet due")


def _see_to_the_clock(card: Card) -> None:
    """A board without a clock battery starts with an old date: set the time from the receiver before using TLS."""
    if clock_is_credible(card.ca_pem.encode(), now_s=time.time()) or card.gnss is None:
        return
    from hw.clock import RealClock  # noqa: PLC0415 - needed on a wrong clock only
    from hw.config import SerialGnssConfig  # noqa: PLC0415 - as above
    from hw.open import open_gnss  # noqa: PLC0415 - as above

    receiver = open_gnss(SerialGnssConfig(kind="serial", port=str(card.gnss)), RealClock())
    until_s = time.monotonic() + _GNSS_PATIENCE_S
    try:
        while time.monotonic() < until_s:
            line = receiver.next_line(timeout_s=1.0)
            at = None if line is None else utc_from_sentences([line.text])
            if at is not None:
                set_clock(at)
                _say(f"clock set to {at:%Y-%m-%d %H:%M} UTC from the receiver")
                return
    finally:
        receiver.close()
    raise ProvisionError("the clock is wrong and the receiver has no fix: move the unit under open sky")


def _say(text: str) -> None:
    """Print a line without wrapping or markup."""
    PlainConsole().print(text)


def _group() -> int | None:
    try:
        return grp.getgrnam(_SERVICE_GROUP).gr_gid
    except KeyError:
        return None


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    known = colon and host and port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _MAX_PORT
    if not known or len(host) > _MAX_HOST or not host.isprintable():
        raise typer.BadParameter(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _day(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
