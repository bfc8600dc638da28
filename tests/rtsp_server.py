"""Runs on the system's Python, where GStreamer is: a red RTSP camera on loopback, H.264 over TCP only.

Prints its port; ends when its standard input does.  With ``--user`` and ``--password`` it asks for them.
"""

from __future__ import annotations

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions are chosen first

LAUNCH = (
    "( videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=180,framerate=15/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
)
ROLE = "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"


def main() -> None:
    """Serve until nobody wants it any more."""
    parser = argparse.ArgumentParser()
    for option, default in (("--port", "0"), ("--user", ""), ("--password", "")):
        parser.add_argument(option, default=default)
    asked = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=asked.port)
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(LAUNCH)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    if asked.user:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth = GstRtspServer.RTSPAuth()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(asked.user, asked.password), token)
        server.set_auth(auth)
        factory.add_role_from_structure(Gst.Structure.from_string(ROLE)[0])
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    loop.run()


main()
