"""Opens back ends by configuration: the only module that imports them, each on demand."""
# ruff: noqa: PLC0415 - a unit imports only the libraries of the hardware it has

from __future__ import annotations

from typing import TYPE_CHECKING

from hw.ports import HwConfigError
from hw.scene import mounted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hw.config import BoardConfig, CameraConfig, GnssConfig, LinkConfig, PanelConfig, SpeakerConfig
    from hw.drive_format import Drive
    from hw.ports import Board, Camera, Clock, Gnss, Link, Panel, Speaker


def open_cameras(
    configs: Sequence[CameraConfig], clock: Clock, *, drive: Drive | None = None, origin_ns: int | None = None
) -> tuple[Camera, ...]:
    """Open all cameras; if one fails, those already open are closed.  Raises HwConfigError."""
    opened: list[Camera] = []
    try:
        for config in configs:
            opened.append(_camera(config, clock, drive, origin_ns))
            opened[-1] = mounted(opened[-1], config)
    except BaseException:
        for camera in opened:
            camera.close()
        raise
    return tuple(opened)


def _camera(config: CameraConfig, clock: Clock, drive: Drive | None, origin_ns: int | None) -> Camera:
    if config.kind == "pi":
        from hw.camera_pi import CameraPi, import_picamera2

        return CameraPi(config, import_picamera2())
    if config.kind == "device":
        from hw.camera_device import CameraDevice

        return CameraDevice(config, clock)
    if config.kind == "sim":
        from hw.camera_sim import CameraSim

        return CameraSim(_needed(drive, f"camera {config.name}"), clock, name=config.name, origin_ns=origin_ns)
    from hw.camera_files import CameraFiles, FolderPictures, VideoPictures

    pictures = VideoPictures(config) if config.kind == "video" else FolderPictures(config)
    return CameraFiles(config.name, pictures, clock, loop=config.loop, realtime=config.realtime)


def open_gnss(
    config: GnssConfig, clock: Clock, *, drive: Drive | None = None, origin_ns: int | None = None
) -> Gnss:
    """Open the receiver; a missing port is opened when it appears.  Raises HwConfigError."""
    if config.kind == "serial":
        from hw.gnss_serial import GnssSerial

        return GnssSerial(config.port, None if config.baud == "auto" else config.baud, clock)
    if config.kind == "gpsd":
        from hw.gnss_gpsd import GnssGpsd

        return GnssGpsd(config.host, config.port, clock)
    if config.kind == "fixed":
        from hw.gnss_fixed import GnssFixed

        return GnssFixed(config, clock)
    if config.kind == "sim":
        from hw.gnss_sim import GnssSim

        return GnssSim(_needed(drive, "receiver"), clock, origin_ns=origin_ns)
    from hw.absent import GnssAbsent

    return GnssAbsent()


def open_panel(
    config: PanelConfig, clock: Clock, *, drive: Drive | None = None, origin_ns: int | None = None
) -> Panel:
    """Open lamps, buzzer and ignition.  Raises HwConfigError."""
    if config.kind == "gpio":
        from hw.panel_gpio import PanelGpio, lgpio_factory

        return PanelGpio(config, lgpio_factory(config.chip), clock)
    if config.kind == "sim":
        from hw.panel_sim import PanelSim

        return PanelSim(clock, drive, origin_ns=origin_ns)
    from hw.absent import PanelAbsent

    return PanelAbsent()


def open_speaker(config: SpeakerConfig) -> Speaker | None:
    """Open the speaker; None if there is none.  Raises HwConfigError."""
    if config.kind == "espeak":
        from hw.speaker_espeak import SpeakerEspeak

        return SpeakerEspeak(config)
    if config.kind == "sim":
        from hw.speaker_sim import SpeakerSim

        return SpeakerSim()
    return None


def open_link(config: LinkConfig) -> Link:
    """Open the link to the station.  Raises HwConfigError; the scripted link is created by the replay."""
    if config.kind == "mqtt":
        from hw.link_mqtt import LinkMqtt

        return LinkMqtt(config)
    if config.kind == "sim":
        raise HwConfigError("link: kind sim exists only inside `patrol-lpr simulate`; use mqtt or none")
    from hw.absent import LinkAbsent

    return LinkAbsent()


def open_board(
    config: BoardConfig, clock: Clock, *, drive: Drive | None = None, origin_ns: int | None = None
) -> Board:
    """Open the computer's own sensors.  Raises HwConfigError."""
    if config.kind == "sim":
        from hw.board_sim import BoardSim

        return BoardSim(clock, drive, origin_ns=origin_ns)
    from hw.board_linux import BoardLinux

    return BoardLinux(root=config.root, state_dir=config.state_dir)


def _needed(drive: Drive | None, what: str) -> Drive:
    if drive is None:
        raise HwConfigError(f"{what}: kind sim plays a drive; give one: patrol-lpr simulate DRIVE")
    return drive
