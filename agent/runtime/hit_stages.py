"""The composition of hits: configuration -> service.  Used by the vehicle and the replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.hits.bodies import HitBodies
from agent.hits.desk import HitDesk, Now
from agent.hits.rules import HitRules
from agent.hits.watch import WatchedPlates
from agent.hotlist.matcher import Matcher
from agent.hotlist.records import Priority
from agent.pictures import PictureMaker
from agent.policy.position import where_now
from agent.policy.records import HIT, Kept
from agent.runtime.hit_files import FOLDER, PURPOSE, HitFiles
from agent.runtime.hits import HitService
from agent.runtime.lamp import is_fresh
from agent.runtime.stages import load_unit_key, software
from agent.runtime.whereabouts import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.commit import LateRecord
    from agent.hits.desk import Matching
    from agent.runtime.alarm import Alarm
    from agent.runtime.config import AgentConfig
    from agent.runtime.stages import ReadPath
    from hw.ports import Clock

_MARGIN_S = 5.0


def build_hits(
    config: AgentConfig,
    read_path: ReadPath,
    clock: Clock,
    *,
    models: tuple[str, ...],
    emit: Callable[[LateRecord], None],
    matcher: Callable[[], Matching] | None = None,
    alarm: Alarm | None = None,
    first: Callable[[Callable[[], None]], None] = lambda work: work(),
) -> HitService:
    """Create the service; nothing is restored yet.  Raises KeyFileError.

    ``matcher`` returns that of the lists in force; none if omitted.  ``first`` does what comes before an alert.
    """
    nothing = Matcher()
    track = config.track.tracker_config()
    boot_id = clock.boot_id
    desk = HitDesk(
        config.hits.hit_settings(final_s=(track.max_ms + track.lost_ms) / 1000 + _MARGIN_S),
        read_path.new_id,
        {camera.name: camera.role for camera in config.hw.cameras},
        boot_id,
    )
    own = None if config.seal.mode == "off" else load_unit_key(config)
    return HitService(
        desk,
        WatchedPlates(config.agency, boot_id, Priority(config.hits.manual_priority)),
        lists=matcher or (lambda: nothing),
        files=HitFiles(config.state_dir / FOLDER, None if own is None else own.derive(PURPOSE)),
        bodies=HitBodies(software(), models),
        pictures=PictureMaker(config.pictures.picture_config()),
        now=lambda: now_of(config, read_path, clock),
        rules=lambda: rules_of(config, read_path, clock.mono_ns()),
        emit=emit,
        scene=lambda t_mono_ns: (read_path.timebase.tag(t_mono_ns), here(read_path.committer.last_fix, t_mono_ns)),
        alarm=alarm,
        first=first,
    )


def rules_of(config: AgentConfig, read_path: ReadPath, t_mono_ns: int) -> HitRules:
    """Return what the policy at this place says about hits; any thread."""
    hours = config.hits
    policies = read_path.policies
    if policies is None:
        return HitRules(hours.max_list_age_h * 3600, max_watch_h=hours.manual_max_h)
    where, utc_ns = where_now(read_path.committer.last_fix, t_mono_ns), read_path.timebase.tag(t_mono_ns).utc_ns
    in_force = policies()
    policy = in_force.at(where)
    decision = in_force.decide(HIT, hit=True, where=where, t_utc_us=None if utc_ns is None else utc_ns // 1000)
    lists, entries = policy.lists, policy.entries
    retain_h = 0.0 if entries.retain is None else entries.retain.seconds / 3600
    return HitRules(
        max_age_s=lists.max_age_hours * 3600,
        stop_age_s=lists.stop_age_hours * 3600,
        owners=lists.owners,
        partial=lists.partial,
        roles=entries.roles,
        max_watch_h=min(hours.manual_max_h, retain_h),
        recorded=decision.kept is Kept.FULL,
        shown=decision.shown,
        keep_s=policy.hit_s,
        policy=policy.name,
    )


def now_of(config: AgentConfig, read_path: ReadPath, clock: Clock) -> Now:
    """Return time and place as they are known; any thread."""
    t_mono_ns = clock.mono_ns()
    rules = rules_of(config, read_path, t_mono_ns)
    utc_ns = read_path.timebase.tag(t_mono_ns).utc_ns
    fix = read_path.committer.last_fix
    utc_us = None if utc_ns is None else utc_ns // 1000
    if fix is None or not is_fresh(fix, t_mono_ns):
        return Now(t_mono_ns, utc_us, max_list_age_s=rules.max_age_s, keep_s=rules.keep_s)
    return Now(t_mono_ns, utc_us, fix.lat_deg, fix.lon_deg, rules.max_age_s, rules.keep_s)
