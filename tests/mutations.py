"""Changes that break a promise of the product, each with the tests that should notice.  Run by ``tests.mutate``.

``tests/unit/test_mutations.py`` checks that each still applies to the code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one file."""

    path: str
    old: str
    """Text that occurs once in the file."""
    new: str
    tests: tuple[str, ...]
    """Paths or node ids for pytest."""

    @property
    def name(self) -> str:
        """File and the first line that changes."""
        lines = self.old.strip().splitlines()
        return f"{self.path}: {lines[0].strip()[:70]} -> {(self.new.strip() or '(nothing)').splitlines()[0][:50]}"


def _of(path: str, *tests: str) -> _Group:
    return _Group(path, tests)


@dataclass(frozen=True, slots=True)
class _Group:
    path: str
    tests: tuple[str, ...]

    def __call__(self, old: str, new: str, *tests: str) -> Mutation:
        return Mutation(self.path, old, new, tests or self.tests)


_CONTRACT, _INTEGRATION, _UNIT = "tests/contract", "tests/integration", "tests/unit"
_TLS = f"{_INTEGRATION}/test_tls.py"
_LOG_STORE = f"{_CONTRACT}/test_station_log.py"
_AUDIT_LOG = f"{_UNIT}/station/test_station_audit_log.py"
_WITNESS = f"{_UNIT}/merkle/test_unit_witness.py"
_PEERS = f"{_CONTRACT}/test_tls_peers.py"
_HOSTILE = f"{_CONTRACT}/test_hostile_brokers.py"
_PACKETS = f"{_CONTRACT}/test_broken_packets.py"
_STATION_BROKER = f"{_INTEGRATION}/test_station_broker.py"
_SERIES = f"{_UNIT}/protocol/test_series.py"
_OUTBOX, _TYPES = f"{_UNIT}/buffer/test_outbox.py", f"{_UNIT}/buffer/test_types.py"
_DURABLE = f"{_UNIT}/test_durable_files.py"
_STORE = f"{_CONTRACT}/test_station_store.py"
_STATION_FILE = f"{_UNIT}/station/test_station_file.py"
_UPLINK = f"{_UNIT}/sync/test_uplink.py"
_HEADS = f"{_UNIT}/protocol/test_heads.py"
_STATION_HEADS = f"{_UNIT}/station/test_series_heads.py"
_QUOTAS = f"{_UNIT}/station/test_quotas.py"

_connection = _of("hw/mqtt_connection.py", f"{_HOSTILE}::test_the_connect_packet_states_what_is_accepted")
_service = _of("station/service.py", _STATION_BROKER)
_receipts = _of("protocol/seal/receipts.py", f"{_UNIT}/protocol/test_receipt_signatures.py")
_opener = _of(
    "protocol/seal/opener.py", f"{_UNIT}/station/test_station_sealed.py", f"{_UNIT}/protocol/test_envelope.py"
)
_keys = _of(
    "protocol/seal/keys.py", f"{_UNIT}/protocol/test_envelope.py", f"{_UNIT}/provision/test_provision_refusals.py"
)
_series = _of("protocol/seal/series.py", _SERIES)
_lives = _of(
    "station/store/lives.py",
    f"{_STORE}::test_two_lives_that_send_in_turn_raise_an_alarm",
    f"{_STORE}::test_two_records_of_one_number_are_an_alarm",
)
_quota = _of("station/ingest/quota.py", _QUOTAS)
_update = _of("protocol/update/envelope.py", f"{_UNIT}/update/test_update_file.py")
_manifest = _of(
    "protocol/update/manifest.py", f"{_UNIT}/update/test_update_apply.py", f"{_UNIT}/update/test_update_file.py"
)
_codec = _of("protocol/wire/codec.py", f"{_UNIT}/protocol/test_wire.py")
_uplink = _of("agent/sync/uplink.py", _UPLINK, f"{_UNIT}/protocol/test_receipt_signatures.py")
_transfer = _of(
    "agent/sync/transfer.py", f"{_UNIT}/sync/test_transfers.py", f"{_UNIT}/update/test_update_fetch.py"
)
_outbox = _of("agent/buffer/outbox.py", _OUTBOX, _TYPES)
_apply = _of("agent/buffer/apply.py", _OUTBOX, _TYPES)
_retention = _of("agent/buffer/retention.py", _OUTBOX, _TYPES)
_records = _of("station/store/records.py", _STORE, _STATION_FILE)
_ca_store = _of("provision/ca_store.py", f"{_UNIT}/provision/test_enrolment.py")
_queues = _of(
    "agent/runtime/queues.py", f"{_UNIT}/runtime/test_uplink_queue.py", f"{_UNIT}/runtime/test_read_queue.py"
)

_IN_FORCE = f"{_UNIT}/hotlist/test_lists_in_force.py"
_matcher = _of("agent/hotlist/matcher.py", f"{_UNIT}/hotlist/test_matching.py")
_lists_store = _of("agent/hotlist/store.py", _IN_FORCE, f"{_UNIT}/hotlist/test_power_cuts.py")
_list_manifest = _of("protocol/hotlist/manifest.py", _IN_FORCE)
_importer = _of("station/lists/importer.py", f"{_UNIT}/lists/test_import.py")
_ZONES = f"{_CONTRACT}/test_zone_limit.py"
_zone_limit = _of("station/query/zone_limit.py", _ZONES)
_list_search = _of("station/query/list_search.py", f"{_UNIT}/cli/test_hotlist_command.py")
_container = _of("protocol/seal/container.py", f"{_UNIT}/protocol/test_container.py")


def _client(*tests: str) -> _Group:
    return _of("hw/mqtt_client.py", *tests)


MUTATIONS = (
    # TLS and the broker's rights
    _connection("context.minimum_version = ssl.TLSVersion.TLSv1_2", "context.check_hostname = False", _PEERS),
    _connection(
        "context.minimum_version = ssl.TLSVersion.TLSv1_2",
        "context.check_hostname, context.verify_mode = False, ssl.CERT_NONE",
        _PEERS,
    ),
    _connection(
        "context.minimum_version = ssl.TLSVersion.TLSv1_2",
        "context.minimum_version = ssl.TLSVersion.TLSv1",
        _PEERS,
    ),
    _connection("client.tls_set_context(tls_context(options.tls))", "client.tls_insecure_set(True)", _PEERS),
    _service(
        "if not has_tls and address.host not in LOOPBACK:",
        "if False:",
        f"{_TLS}::test_plain_tcp_is_for_localhost_only",
    ),
    _service("has_tls = bool(address.ca or address.cert)", "has_tls = bool(address.cert)", _PEERS),
    _of("provision/broker/acl", f"{_TLS}::test_unit_cannot_publish_or_subscribe_as_another")(
        "pattern write lpr/1/%u/up/#", "topic write lpr/1/+/up/#"
    ),
    _of("provision/broker/acl", f"{_UNIT}/sync/test_transfers.py")(
        "pattern read lpr/1/%u/dn/#", "topic read lpr/1/+/dn/#"
    ),
    _of("provision/broker/mosquitto.conf", f"{_TLS}::test_unit_cannot_publish_or_subscribe_as_another")(
        "acl_file /etc/mosquitto/lpr/acl\n", ""
    ),
    _of("provision/broker/mosquitto.conf", f"{_TLS}::test_revoked_certificate_is_refused")(
        "\ncrlfile /etc/mosquitto/lpr/crl.pem\n", "\n"
    ),
    _of("provision/broker/mosquitto.conf", f"{_TLS}::test_handshake_without_a_certificate_fails")(
        "require_certificate true\nuse_identity", "require_certificate false\nuse_identity"
    ),
    _of("provision/broker/mosquitto.conf", f"{_TLS}::test_stolen_card_cannot_take_the_client_id_of_another_unit")(
        "use_username_as_clientid true\n", ""
    ),
    # Hostile brokers
    _connection("properties.MaximumPacketSize = MAX_PACKET_BYTES", "pass"),
    _connection("properties.ReceiveMaximum = options.receive_maximum", "pass"),
    _client(f"{_HOSTILE}::test_a_packet_too_large_is_not_read")("if bufsize > MAX_PACKET_BYTES:", "if False:"),
    _client(f"{_HOSTILE}::test_qos_2_ends_the_connection")(
        "if head & _TYPE == _PUBLISH and head & _QOS_2:", "if False:"
    ),
    _client(f"{_HOSTILE}::test_a_broker_that_sends_and_does_not_read_is_left")(
        "if len(self._out_packet) > _MAX_UNSENT:", "if False:"
    ),
    _client(f"{_PACKETS}::test_invalid_utf8_topic_drops_only_that_message")(
        "except UnicodeDecodeError as error:", "except ZeroDivisionError as error:"
    ),
    _client(f"{_HOSTILE}::test_a_silent_broker_is_noticed_whatever_keep_alive_it_asks_for")(
        "if not 0 < self._keepalive <= keepalive_s:", "if False:"
    ),
    _service(
        "if self._bytes + size > _WAITING_BYTES:", "if False:", _HOSTILE, f"{_INTEGRATION}/test_bad_brokers.py"
    ),
    _queues("return self._messages < self._max_messages and self._bytes + size <= self._max_bytes", "return True"),
    _queues("return self._weight < self._max_named", "return True"),
    # Signatures
    _receipts("if not key.is_signed(signature, _PREFIX + pack(fields)):", "if False:"),
    _receipts("if key is None or not isinstance(signature, bytes):", "if key is None:"),
    _uplink(
        "        except WireError:\n            return False\n        return True",
        "        except WireError:\n            return True\n        return True",
    ),
    _opener("if not evidence.is_signed_by(key):", "if False:"),
    _keys("if bytes((*self.raw[:-1], self.raw[-1] & 0x7F)) in _SMALL_ORDER:", "if False:"),
    _keys("if path.stat().st_mode & _OWN_BITS:", "if False:"),
    _series("elif not evidence.is_signed_by(signer) or not proof.is_whole:", "elif not proof.is_whole:"),
    _series(
        "elif not evidence.is_signed_by(signer) or not proof.is_whole:", "elif not evidence.is_signed_by(signer):"
    ),
    _series("and step.prev != self._steps[before].link:", "and False:"),
    _series("if seq < self._highest:", "if False:"),
    _series("            found.doubled.append(seq)\n", ""),
    _series("if at <= last:", "if False:"),
    _update("if not key.is_signed(signature, _CONTEXT + data):", "if False:"),
    _update("if digest.hexdigest() != entry.sha256:", "if False:"),
    _manifest("if manifest.release <= floor:", "if False:"),
    _manifest("if now_s >= manifest.expires_s:", "if False:"),
    _manifest("if not any(fnmatchcase(unit, pattern) for pattern in manifest.units):", "if False:"),
    _series("if signer is None or not head.is_signed_by(signer):", "if signer is None:", _HEADS),
    _series("            self._gap(last + 1, min(head.done, head.seq))\n", "            pass\n", _HEADS),
    _series("            found.unsent.append((first, head.seq))\n", "            pass\n", _HEADS),
    _series("and step.link != head.link:", "and False:", _HEADS),
    _series("(item.evidence.unit, _life_of(item))", '(item.evidence.unit, b"")', _STATION_HEADS),
    _series("if record.envelope.life != self._life:", "if False:", _STATION_HEADS),
    _opener("        if head.unit != unit:\n", "        if False:\n", _STATION_HEADS),
    _of("protocol/wire/record.py", _STATION_HEADS)('seq.to_bytes(8, "big") + life', 'seq.to_bytes(8, "big")'),
    # Lives and quotas
    _lives("elif life != list(known)[-1] and", "elif False and"),
    _lives("if before is None or not head.is_older_than(before):", "if True:", _STATION_HEADS),
    _lives("        return {unit for unit, _ in counts}\n", "        return set()\n"),
    _quota("if more.records and total.records > quota.records:", "if False:"),
    _quota("elif more.loose_bytes and total.loose_bytes > quota.loose_bytes:", "elif False:"),
    _quota("elif total.size_bytes > quota.size_bytes:", "elif False:"),
    _of("station/store/usage.py", _QUOTAS)("USAGE.c[name] + statement.excluded[name]", "USAGE.c[name]"),
    _of("station/ingest/ingest.py", f"{_INTEGRATION}/test_station_disk.py")(
        "            self._store.check_room()\n", ""
    ),
    _of("station/store/room.py", f"{_INTEGRATION}/test_station_disk.py")(
        "if self._path.stat().st_size < budget:", "if True:"
    ),
    # Receipts
    _service(
        "        answers = self._ingest.commit()\n",
        "        for message in group:\n            connection.ack(message)\n        answers = self._ingest.commit()\n",
        f"{_UNIT}/station/test_station_service.py",
    ),
    _of("station/ingest/ingest.py", f"{_UNIT}/station/test_station_ingest.py")(
        "if topic_unit == message_unit:", "if True:"
    ),
    _of("station/ingest/ingest.py", f"{_UNIT}/station/test_station_ingest.py")(
        "if chunk.total_bytes <= max_bytes:", "if True:"
    ),
    _of("station/ingest/ingest.py", f"{_UNIT}/station/test_station_ingest.py")(
        "return batch.refusals + try_again(batch)", "return batch.refusals"
    ),
    _apply(
        '"DELETE FROM records WHERE seq = ? AND id = ? RETURNING',
        '"DELETE FROM records WHERE seq = ?1 AND (id = ?2 OR 1) RETURNING',
    ),
    _apply("if stored_bytes < size:", "if False:"),
    _apply("WHERE pic = ?2 AND stored < ?1", "WHERE pic = ?2"),
    _uplink("if message.unit != self._unit:", "if False:"),
    _uplink("        if nack.retry:\n", "        if False:\n"),
    _uplink("            self._link.confirm()\n", "", f"{_UNIT}/sync"),
    _uplink(
        "        elif flight.seq is not None:\n            self._pause_and_rewind(t_mono_ns)",
        '        elif flight.seq is not None:\n            self._give_up(flight.seq, "refused")',
    ),
    # What must survive a power cut
    _of("agent/buffer/mark.py", _DURABLE)("        os.fsync(file.fileno())\n", ""),
    _of("agent/buffer/mark.py", _DURABLE)("        os.fsync(handle)\n", "        pass\n"),
    _of("agent/buffer/mark.py", _OUTBOX)("if seq <= self.high:", "if seq > 0:"),
    _outbox("            self._mark.cover(counts.next_seq - 1)\n", ""),
    _outbox("            self._mark.note(counts.next_seq - 1)\n", "", f"{_UNIT}/buffer/test_damaged_files.py"),
    _of("agent/buffer/schema.py", _OUTBOX, _DURABLE)("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),
    _of("updater/releases.py", _DURABLE)("        os.fsync(file.fileno())\n", ""),
    _of("provision/pki.py", _DURABLE)("        os.fsync(file.fileno())\n", ""),
    _of("hw/output.py", _DURABLE, f"{_UNIT}/test_output.py")("            os.fsync(file.fileno())\n", ""),
    _of("agent/sync/transfer.py", _DURABLE)("            os.fsync(file.fileno())\n", "            pass\n"),
    _of("station/store/sqlite_file.py", _STATION_FILE)("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),
    _of("station/store/sqlite_file.py", _STATION_FILE)('con.execute("PRAGMA secure_delete = ON")', "pass"),
    # Limits
    _codec('"max_str_len": MAX_STR_BYTES,', '"max_str_len": 2**31 - 1,'),
    _codec('"max_array_len": MAX_ITEMS,', '"max_array_len": 2**31 - 1,'),
    _codec('"max_map_len": MAX_ITEMS,', '"max_map_len": 2**31 - 1,'),
    _codec("if len(payload) > MAX_MESSAGE_BYTES:", "if False:"),
    _codec("if name in found:", "if False:"),
    _codec("if depth > MAX_EXTRA_DEPTH:", "if False:"),
    _transfer("offer.size_bytes > self.kind.max_bytes", "False"),
    _transfer(
        "(offer.size_bytes - self.fetched) >= self._min_free_bytes", "(offer.size_bytes - self.fetched) >= 0"
    ),
    _transfer("if self._digest.digest() != offer.sha256 or", "if"),
    _transfer(
        "            except FileRefusedError as error:\n", "            except ZeroDivisionError as error:\n"
    ),
    _of("station/store/pictures.py", _STORE)("if hashlib.sha256(blob).digest() != chunk.sha256:", "if False:"),
    # Eviction and tombstones
    _outbox("LostReason.BUDGET, first_new_seq)", "LostReason.BUDGET)"),
    _outbox("first_new_seq if oldest_go else 0)", "first_new_seq)"),
    _outbox("            table.append(self._con, counts, self._encoder, tombstone)", "            del tombstone"),
    _retention("(PicturePriority.QUARANTINED, *reversed(SENDING))", "(PicturePriority.QUARANTINED, *SENDING)"),
    _retention("for priority in reversed(priorities(con)):", "for priority in priorities(con):"),
    _retention("AND seq < ? AND NOT kept ORDER BY", "AND seq < ? ORDER BY"),
    _retention("return last == first + 1 or not any(", "return True or not any("),
    _of("agent/buffer/expiry.py", f"{_UNIT}/buffer/test_expiry.py")(
        "[*_record_tombstones(con, records, registry), *_picture_tombstones(pictures)]",
        "[*_picture_tombstones(pictures)]",
    ),
    # Purge and retention at the station
    _records(
        "self._db.run(update(EVIDENCE).where(EVIDENCE.c.salt.is_not(None), proved).values(salt=None))", "pass"
    ),
    _records("else RECORDS.c.retention == rule.retention,", "else HERE,"),
    _records(
        "or_(RECORDS.c.received_us < rule.before_us, RECORDS.c.utc_us < rule.before_us)",
        "RECORDS.c.received_us < rule.before_us",
    ),
    _records("        self._projections.delete(self._db, purging.chosen)\n", ""),
    _records("purging.choose(and_(self.due(plan), ~IS_HELD))", "purging.choose(self.due(plan))", _LOG_STORE),
    _of("station/store/records.py", _LOG_STORE)("        refresh(None)\n", ""),
    _of("station/retention/schedule.py", f"{_UNIT}/station/test_station_retention.py")(
        "self._clock_jumped(mono_s) or clock_doubt(", "clock_doubt("
    ),
    _of("station/retention/purges.py", f"{_UNIT}/station/test_station_retention.py")(
        "if ahead_us is not None and abs(ahead_us) > _MAX_APART_US:", "if False:"
    ),
    # The audit log
    _of("station/audit_log/checkpoints.py", _AUDIT_LOG)(
        "            for known in (before, self._signed):\n", "            for known in ():\n"
    ),
    _of("station/audit_log/witnessing.py", _AUDIT_LOG)(
        "if kept is None or not kept.is_signed_by(self._key):", "if kept is None:"
    ),
    _of("station/audit_log/witnessing.py", _AUDIT_LOG)("        if not found:\n", "        if False:\n"),
    _of("agent/witness.py", _WITNESS)(
        "if not is_consistent(kept.size", "if False and not is_consistent(kept.size"
    ),
    _of("agent/witness.py", _WITNESS)(
        "            self._store.save(state)\n            self._state = state\n        self._n_smaller",
        "            self._state = state\n        self._n_smaller",
    ),
    _of("agent/witness.py", _WITNESS)("if kept is not None and key.raw != self._state.public_key:", "if False:"),
    _of("protocol/merkle/examine.py", _AUDIT_LOG)(
        "sorted(known for known in self._checkpoints if known > there)", "()"
    ),
    _of("protocol/merkle/tree.py", f"{_UNIT}/merkle/test_merkle_tree.py")(
        '_LEAF, _INNER = b"\\0", b"\\1"', '_LEAF, _INNER = b"", b""'
    ),
    _of("station/commands.py", f"{_UNIT}/station/test_station_export.py", _STORE)(
        "if not days >= 0:", "if False:"
    ),
    _of("station/store/database.py", _STATION_FILE)("PRAGMA wal_checkpoint(TRUNCATE)", "SELECT 1"),
    _of("station/query/query.py", _STORE, f"{_UNIT}/station/test_station_export.py")(
        '        self._note(f"export {name} begins", 0, schema=schema, unit=unit)\n', ""
    ),
    _of("station/query/export.py", f"{_UNIT}/station/test_station_export.py")(
        "if isinstance(value, str) and value.startswith(_FORMULA_STARTS):", "if False:"
    ),
    _of("station/audit_log/heads.py", _STATION_HEADS)("elif head.seq < noted.seq:", "elif False:"),
    # Authority
    _ca_store("if row is None or row[0] != unit or row[1] is not None:", "if row is None:"),
    _ca_store("or now_s > row[1]:", "or False:"),
    _ca_store("if row[2] is not None and row[2] != asked:", "if False:"),
    _of("provision/pki.py", f"{_UNIT}/provision/test_enrolment.py")("if names != [unit]:", "if False:"),
    # The unit's folder and log
    _of("agent/runtime/lock.py", f"{_UNIT}/cli/test_refusals.py")(
        "            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "            fcntl.LOCK_EX\n"
    ),
    _of("cli/run.py", f"{_UNIT}/cli/test_refusals.py")("    os.umask(_OWNER_ONLY)\n", ""),
    _of("agent/runtime/log.py", f"{_UNIT}/runtime/test_log.py")(
        "if found := _FORBIDDEN & event.keys():", "if found := ():"
    ),
    # Hot lists
    _matcher("now >= entry.expires_utc_us", "False"),
    _matcher("if is_reported(region, found.terms.regions):", "if True:", f"{_UNIT}/hotlist/test_matching.py"),
    _matcher("if query.confidence * _E4 < opened.settings.min_confidence_e4:", "if False:"),
    _lists_store("floor=kept.floor,\n            max_alarms", "floor=0,\n            max_alarms"),
    _lists_store("if kept.full is None or kept.digest != manifest.base_digest:", "if False:"),
    _list_manifest("if manifest.version <= floor:", "if manifest.version < floor:"),
    _list_manifest(
        "fnmatchcase(agency, pattern) for pattern in settings.agencies", "True for _ in settings.agencies"
    ),
    _importer("if abs(change) > limits.max_change:", "if change > limits.max_change:"),
    _importer("self._report.add_bad(chunk.lines[n], bad[n])", "pass"),
    _container("return self._cipher.decrypt(_nonce(number), data, self._bound)", "return data[:-_TAG_BYTES]"),
    # Who may see what at the station
    _zone_limit("return self.is_none or bool(self._index.at(lat_e7, lon_e7))", "return True"),
    _zone_limit(
        "return all(self.has(lat_e7, lon_e7) for _, lat_e7", "return any(self.has(lat_e7, lon_e7) for _, lat_e7"
    ),
    _of("station/query/query.py", _ZONES)(
        "return is_of_agency and self._zones.has_record(stored)", "return is_of_agency"
    ),
    _of("station/query/query.py", _ZONES)("replace(search, zones=self._zones.areas)", "search"),
    _of("station/query/ledger.py", _ZONES)(
        "if self._zones.is_none:\n            return self._store.count_hits",
        "if True:\n            return self._store.count_hits",
    ),
    _of("station/query/evidence.py", _ZONES)("return bool(placed) and all(", "return bool(placed) or all("),
    _of("station/query/deployment.py", _ZONES)('if scope.zones is not None and by != "zone":', "if False:"),
    _of("station/accounts/accounts.py", _ZONES)(
        "for zone in sorted((scope.zones or set()) - there):", "for zone in ():"
    ),
    _list_search("and one.body.policy in allowing", ""),
    _list_search("if pack.lists.retained_reads", ""),
    _list_search("if not self._asker.has_case:", "if False:"),
)
