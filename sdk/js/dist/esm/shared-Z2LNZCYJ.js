// src/codes.ts
var stateNumbers = {
  /** There is no connection; the time of the next attempt is known. */
  waiting: 0,
  /** One is being made, up to the server's `welcome`. */
  connecting: 1,
  /** The server has welcomed it. */
  live: 2,
  /** There is one, and it may be dead: it is being asked. Messages, requests and publishes go on. */
  doubtful: 3,
  /** No connection, and the system says that there is no way to make one. */
  offline: 4,
  /** The goodbye is said; its answer is awaited for two seconds at most. */
  closing: 5,
  /** For ever. */
  ended: 6
};
var causeNumbers = {
  started: 1,
  due: 2,
  probe: 3,
  welcomed: 4,
  proven: 5,
  network_changed: 6,
  address_gone: 7,
  offline: 8,
  woke_up: 9,
  foreground: 10,
  heartbeat_late: 11,
  heartbeat_missed: 12,
  sent_after_silence: 13,
  answer_late: 14,
  output_stuck: 15,
  connection_lost: 16,
  unreachable: 17,
  timed_out: 18,
  refused: 19,
  retry_after: 20,
  server_drain: 21,
  closed_by_server: 22,
  superseded: 23,
  token_expired: 24,
  ended_by_server: 25,
  protocol_error: 26,
  /** Never told by this library; it keeps the number. */
  no_memory: 27,
  closed: 28
};
var causeTexts = {
  started: "the first attempt",
  due: "the time of the next attempt has come",
  probe: "a rare attempt, though the system says that there is no way",
  welcomed: "the server has welcomed the connection",
  proven: "something came from the server",
  network_changed: "the network changed",
  address_gone: "the connection's own address is gone",
  offline: "the system says that there is no way to the server",
  woke_up: "the machine slept",
  foreground: "the application is in use again",
  heartbeat_late: "no answer to a heartbeat yet",
  heartbeat_missed: "no answer to a heartbeat",
  sent_after_silence: "the first send after a long silence",
  answer_late: "an answer of the server is late",
  output_stuck: "what was written does not leave this machine",
  connection_lost: "the connection ended without a word",
  unreachable: "the connection could not be made",
  timed_out: "no answer in time",
  refused: "the server refused the connection",
  retry_after: "the server says when to come back",
  server_drain: "the server asked for a new connection",
  closed_by_server: "the server closed the connection",
  superseded: "the session was taken over by another connection",
  token_expired: "the token has expired",
  ended_by_server: "the server ended the session",
  protocol_error: "the server broke the protocol",
  no_memory: "out of memory",
  closed: "closed by the application"
};
var errorNumbers = {
  /** The server could not understand what it was sent, or the client what came. */
  bad_message: 1,
  bad_seq: 2,
  unauthorized: 3,
  forbidden: 4,
  not_found: 5,
  /** Larger than the server takes; also found by the client, which knows the server's limit. */
  too_large: 6,
  rate_limited: 7,
  limit: 8,
  overloaded: 9,
  unavailable: 10,
  /** There was no answer in time; also found by the client. */
  timeout: 11,
  internal: 12,
  /** The server's code is not one of the above: `serverCode` has it. */
  unknown: 99,
  /** An argument is not what it must be. */
  invalid: 100,
  /** The channel is subscribed to already: `subscription(channel)` gives the subscription. */
  exists: 101,
  /** The client was closed, or its session has ended. */
  closed: 102,
  /** The outbox is full: publish again when one of its publishes has settled. */
  outbox_full: 103,
  /** The server has lost the session: the publish, or call, may have been applied. It is not sent again. */
  uncertain: 104,
  /** An iterator's queue was full, and `overflow` is `fail`. */
  overflow: 105,
  /** This platform, or this encoding, cannot do it. */
  unsupported: 106,
  /** What the outbox's storage should keep could not be kept. */
  outbox: 107,
  /** The caller's `AbortSignal` ended the wait. */
  aborted: 108,
  /** Too many requests wait for their answers. */
  requests_full: 109
};
var gapNumbers = {
  /** The log does not hold them any more. */
  evicted: 1,
  /** The server's policy for slow connections skipped them. */
  slow: 2,
  /** The channel was begun anew: what is left of the old epoch cannot be had, how much that is is not known. */
  epoch: 3,
  /** An iterator's queue was full: this page was too slow, and they were dropped on it. Never told by an event. */
  overflow: 4,
  /** The server's code is not one of the above. */
  unknown: 99
};
var closeCodes = {
  normal: 1e3,
  goingAway: 1001,
  protocolError: 1002,
  unsupported: 1003,
  policy: 1008,
  tooBig: 1009,
  internal: 1011,
  tryAgainLater: 1013,
  superseded: 4001,
  tokenExpired: 4002,
  ended: 4003,
  heartbeatMissed: 4004,
  tooSlow: 4005,
  sessionLimit: 4006
};

// src/errors.ts
var HoldfastError = class extends Error {
  name = "HoldfastError";
  /** To decide by. */
  code;
  /** The code's number, for logs. */
  number;
  /** The code as the server wrote it, where the server said so. */
  serverCode;
  constructor(code, message, serverCode) {
    super(message);
    this.code = code;
    this.number = errorNumbers[code];
    this.serverCode = serverCode;
  }
};
var PublishRefused = class extends HoldfastError {
  name = "PublishRefused";
  channel;
  constructor(channel, code, message, serverCode) {
    super(code, message, serverCode);
    this.channel = channel;
  }
};
var PublishUncertain = class extends HoldfastError {
  name = "PublishUncertain";
  channel;
  id;
  /** As it was published. */
  payload;
  constructor(channel, id, payload) {
    super(
      "uncertain",
      `the server lost the session before it answered a publish to "${channel}": it may have been applied. Publish it again only if applying it twice does no harm, or with an id where the channel keeps ids`
    );
    this.channel = channel;
    this.id = id;
    this.payload = payload;
  }
};
function errorCode(serverCode) {
  return Object.hasOwn(errorNumbers, serverCode) && errorNumbers[serverCode] < 99 ? serverCode : "unknown";
}

// src/core/heartbeat_memory.ts
var networksMax = 32;
var gapMsMax = 2 * 3600 * 1e3;
var forgetMs = 7 * 24 * 3600 * 1e3;
var seenAgainMs = 3600 * 1e3;
var head = "holdfast-heartbeat 1";
var line = /^([0-9a-f]{1,16}) (\d{1,8}) (\d{1,8}) (\d{1,12}) (\d{1,12})$/;
var HeartbeatMemory = class {
  /** Since this was last set to false: worth writing down. */
  changed = false;
  networks = [];
  /** What is known of a network; undefined: nothing, or it was last seen too long ago. */
  find(key, now) {
    const known = this.networks.find((network) => network.key === key);
    return known !== void 0 && now - known.seenAt <= forgetMs ? { ...known } : void 0;
  }
  /** Remember it. `changed` if it says more than that the network was seen again within the hour. */
  put(network) {
    const at = this.networks.findIndex((other) => other.key === network.key);
    const known = this.networks[at];
    if (known !== void 0 && known.lo === network.lo && known.hi === network.hi && known.probedAt === network.probedAt && network.seenAt - known.seenAt < seenAgainMs)
      return;
    this.networks[known !== void 0 ? at : this.newPlace()] = { ...network };
    this.changed = true;
  }
  drop(key) {
    const before = this.networks.length;
    this.networks = this.networks.filter((network) => network.key !== key);
    this.changed ||= this.networks.length < before;
  }
  /** The text to keep; unix is the wall clock at `now`. */
  encode(now, unix) {
    const seconds = (at) => Math.max(0, Math.floor((unix - (now - at)) / 1e3));
    const lines = this.networks.map(
      (n) => `${n.key.padStart(16, "0")} ${n.lo} ${n.hi} ${seconds(n.probedAt)} ${seconds(n.seenAt)}`
    );
    return [head, ...lines, ""].join("\n");
  }
  /**
   * Replace all by what the text says. What is too old is left out; a time in the future (the wall clock was set) counts as now. False: it is no such text, and
   * nothing is remembered.
   */
  decode(text2, now, unix) {
    const lines = text2.split("\n");
    const taken = [];
    const keys = /* @__PURE__ */ new Set();
    const time = (seconds) => now - Math.max(0, unix - Number(seconds) * 1e3);
    this.networks = [];
    this.changed = false;
    if (lines.shift() !== head || lines.pop() !== "" || lines.length > networksMax) return false;
    for (const each of lines) {
      const [, digits, lo, hi, probed, seen] = line.exec(each) ?? [];
      const key = (digits ?? "").padStart(16, "0");
      const network = { key, lo: Number(lo), hi: Number(hi), probedAt: time(probed), seenAt: time(seen) };
      if (digits === void 0 || /^0+$/.test(key) || keys.has(key)) return false;
      if (network.lo > gapMsMax || network.hi > gapMsMax || network.hi !== 0 && network.hi <= network.lo) return false;
      keys.add(key);
      if (now - network.seenAt <= forgetMs) taken.push(network);
    }
    this.networks = taken;
    return true;
  }
  /** Where a new one goes: behind the others, or into the place of the one longest unseen. */
  newPlace() {
    if (this.networks.length < networksMax) return this.networks.length;
    let oldest = 0;
    this.networks.forEach((network, i) => {
      if (network.seenAt < (this.networks[oldest]?.seenAt ?? Infinity)) oldest = i;
    });
    return oldest;
  }
};

// src/core/heartbeat_adaptive.ts
var startMs = 25e3;
var floorMs = 1e4;
var jitterPermilleMax = 100;
var widthMs = 5e3;
var widthPercent = 15;
var cliffPercent = 8;
var redialMs = 1e4;
var reprobeMs = 24 * 3600 * 1e3;
var retryMs = 6e5;
var boundRoomMs = 1e3;
var toleranceForegroundMs = 3e4;
var toleranceIdleMs = 12e4;
var toleranceMsMax = 36e5;
var cliffsS = [600, 350, 300, 240, 100, 60, 30];
function besideCliffs(ms, lo) {
  for (const cliff of cliffsS) {
    const below = cliff * 10 * (100 - cliffPercent);
    const above = cliff * 10 * (100 + cliffPercent);
    if (ms > below && ms <= above && lo <= above) ms = below;
  }
  return ms;
}
function unknownNetwork(key) {
  return { key, lo: 0, hi: 0, probedAt: 0, seenAt: 0 };
}
var AdaptiveHeartbeat = class {
  constructor(toleranceMs, memory, random) {
    this.memory = memory;
    this.random = random;
    this.setTolerance(toleranceMs);
    this.drawJitter();
  }
  toleranceMs = toleranceForegroundMs;
  /** The server's; 0: none. */
  boundMs = 0;
  /** The one in use. */
  net = unknownNetwork("");
  /** Of the interval now in force. */
  jitterPermille = 0;
  /** A death whose proof, the next connection, is to come; 0: none. */
  deadGapMs = 0;
  deadAt = 0;
  /** Deaths that contradict lo, and the gap of the first of two. */
  strikes = 0;
  strikeGapMs = 0;
  /** Since the last ping whose end was told. */
  isDisturbed = false;
  /** A scheduled ping was answered since the last probe: there is silence to save on. */
  idle = false;
  noProbeUntil = 0;
  /** The application has come to the foreground, or left it. */
  setTolerance(toleranceMs) {
    this.toleranceMs = Math.min(toleranceMs === 0 ? toleranceForegroundMs : toleranceMs, toleranceMsMax);
  }
  intervalMs() {
    let ms = Math.max(besideCliffs(this.safeMs(), this.net.lo), floorMs);
    ms = besideCliffs(Math.min(ms, this.limitMs()), this.net.lo);
    return ms - Math.floor(ms * this.jitterPermille / 1e3);
  }
  longestMs() {
    return this.limitMs();
  }
  recordSuccess(beat, now) {
    if (!this.isDisturbed) this.gapSurvived(beat.gapMs);
    this.isDisturbed = false;
    if (beat.scheduled) {
      this.idle = true;
      this.drawJitter();
    }
    this.remember(now);
  }
  recordFailure(beat, now) {
    if (!this.isDisturbed && beat.gapMs >= Math.min(floorMs, Math.floor(this.toleranceMs / 2))) {
      this.deadGapMs = beat.gapMs;
      this.deadAt = now;
    }
    this.isDisturbed = false;
  }
  connected(now) {
    if (this.deadGapMs > 0 && now - this.deadAt < redialMs) {
      this.gapKilled(this.deadGapMs);
      this.remember(now);
    }
    this.deadGapMs = 0;
    this.isDisturbed = false;
    this.drawJitter();
  }
  disturbed() {
    if (this.net.key === "") this.learnNothing("");
    this.deadGapMs = 0;
    this.isDisturbed = true;
  }
  reset() {
    if (this.net.key !== "") this.memory?.drop(this.net.key);
    this.learnNothing(this.net.key);
    this.isDisturbed = false;
  }
  setNetwork(key, now) {
    if (key === this.net.key) return;
    this.learnNothing(key);
    this.isDisturbed = true;
    const known = key === "" ? void 0 : this.memory?.find(key, now);
    if (known !== void 0) this.net = known;
  }
  setBound(boundMs) {
    this.boundMs = boundMs;
  }
  probeGapMs(now) {
    const gap = Math.min(this.nextGapMs(now), this.goalMs());
    if (!this.idle || this.net.lo === 0 || now < this.noProbeUntil) return 0;
    return gap > this.net.lo ? gap : 0;
  }
  probeEnded(gapMs, outcome, now) {
    this.idle = false;
    if (outcome === "unknown") {
      this.noProbeUntil = now + retryMs;
      return;
    }
    if (outcome === "alive") this.gapSurvived(gapMs);
    else this.gapKilled(gapMs);
    this.net.probedAt = now;
    this.remember(now);
  }
  /** The longest interval that anybody wants. */
  limitMs() {
    return this.boundMs === 0 ? this.toleranceMs : Math.min(this.toleranceMs, this.boundMs);
  }
  /** The longest gap worth probing: the limit with the same margin that lo has, as far as the server lets a probe be. */
  goalMs() {
    const goal = Math.floor((this.limitMs() * 10 + 8) / 9);
    return Math.min(goal, this.boundMs > boundRoomMs ? this.boundMs - boundRoomMs : Infinity, gapMsMax);
  }
  /** Whether [lo, hi] is narrow enough, or lo is as far as it need be. */
  settled() {
    const { lo, hi } = this.net;
    return lo >= this.goalMs() || hi > 0 && lo > 0 && hi - lo <= Math.max(widthMs, Math.floor(lo * widthPercent / 100));
  }
  /** What the network bears, as far as is known. */
  safeMs() {
    const { lo, hi } = this.net;
    const proven = Math.floor(lo * 9 / 10);
    if (this.settled()) return hi === 0 ? Math.max(proven, Math.min(lo, startMs)) : proven;
    if (hi === 0 || lo >= startMs) return Math.max(proven, startMs);
    return Math.max(proven, Math.min(Math.floor(hi / 2), startMs));
  }
  drawJitter() {
    this.jitterPermille = this.random.below(jitterPermilleMax + 1);
  }
  learnNothing(key) {
    this.net = unknownNetwork(key);
    this.deadGapMs = 0;
    this.strikes = 0;
    this.idle = false;
    this.noProbeUntil = 0;
  }
  remember(now) {
    this.net.seenAt = now;
    if (this.net.key !== "") this.memory?.put(this.net);
  }
  gapSurvived(gapMs) {
    const net = this.net;
    gapMs = Math.min(gapMs, gapMsMax);
    net.lo = Math.max(net.lo, gapMs);
    if (net.hi <= net.lo) net.hi = 0;
    if (gapMs >= this.strikeGapMs) this.strikes = 0;
  }
  gapKilled(gapMs) {
    const net = this.net;
    gapMs = Math.min(gapMs, gapMsMax);
    if (gapMs > net.lo) {
      net.hi = net.hi === 0 ? gapMs : Math.min(net.hi, gapMs);
      return;
    }
    this.strikeGapMs = this.strikes === 0 ? gapMs : Math.max(gapMs, this.strikeGapMs);
    if (++this.strikes < 2) return;
    this.strikes = 0;
    net.lo = 0;
    net.hi = this.strikeGapMs;
  }
  nextGapMs(now) {
    const { lo, hi, probedAt } = this.net;
    if (!this.settled()) return hi === 0 ? Math.floor(lo * 8 / 5) : Math.floor((lo + hi) / 2);
    if (lo < this.goalMs() && now - probedAt >= reprobeMs) return hi;
    return 0;
  }
};

// src/core/heartbeat_classic.ts
var startMs2 = 25e3;
var floorMs2 = 1e4;
var ceilingMs = 6e4;
var successesNeeded = 5;
var failuresNeeded = 2;
var ClassicHeartbeat = class {
  interval = startMs2;
  /** In a row, since the last change; one of the two is 0. */
  successes = 0;
  failures = 0;
  intervalMs() {
    return this.interval;
  }
  longestMs() {
    return ceilingMs;
  }
  recordSuccess(beat) {
    if (!beat.scheduled) return;
    this.failures = 0;
    if (++this.successes < successesNeeded) return;
    this.successes = 0;
    this.interval = Math.min(Math.floor(this.interval * 6 / 5), ceilingMs);
  }
  recordFailure(beat) {
    if (!beat.scheduled) return;
    this.successes = 0;
    if (++this.failures < failuresNeeded) return;
    this.failures = 0;
    this.interval = Math.max(Math.floor(this.interval / 2), floorMs2);
  }
  reset() {
    this.interval = startMs2;
    this.successes = this.failures = 0;
  }
};

// src/core/codec.ts
var BadMessage = class {
  constructor(reason) {
    this.reason = reason;
  }
};
var WrongKind = class extends BadMessage {
};

// src/core/message.ts
var labelBytesMax = 255;
var historyLimitMax = 1e3;
function utf8Length(text2) {
  let bytes = 0;
  for (let i = 0; i < text2.length; i++) {
    const unit = text2.charCodeAt(i);
    if (unit < 128) bytes += 1;
    else if (unit < 2048) bytes += 2;
    else if (unit < 55296 || unit > 57343) bytes += 3;
    else {
      const next = text2.charCodeAt(i + 1);
      if (unit > 56319 || !(next >= 56320 && next <= 57343)) return -1;
      bytes += 4;
      i++;
    }
  }
  return bytes;
}
function isLabel(text2, empty = false) {
  const bytes = utf8Length(text2);
  return bytes >= (empty ? 0 : 1) && bytes <= labelBytesMax;
}
function isChannelName(name) {
  return isLabel(name) && !/[\u0000-\u001f\u007f-\u009f]/.test(name);
}
function isNumber(value) {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
function isHeaderToken(text2, max) {
  return text2.length <= max && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text2);
}

// src/core/codec_json.ts
function encode(message) {
  switch (message.type) {
    case "data": {
      const { channel, payload, seq, id } = message;
      const rest = id === void 0 ? "" : `,"id":${JSON.stringify(id)}`;
      return `{"type":"data","channel":${JSON.stringify(channel)},"payload":${text(payload)},"seq":${seq}${rest}}`;
    }
    case "call": {
      const { id, method, payload } = message;
      return `{"type":"call","id":${JSON.stringify(id)},"method":${JSON.stringify(method)},"payload":${text(payload)}}`;
    }
    case "pong":
      return JSON.stringify(
        message.acks === void 0 ? { type: "pong" } : { type: "pong", acks: Object.fromEntries(message.acks) }
      );
    default:
      return JSON.stringify(message);
  }
}
function text(payload) {
  return typeof payload === "string" ? payload : "null";
}
var shapes = {
  welcome: "session:s ticket:s resumed:b lastSeq:n? ttl:n serverId:s serverTime:n heartbeat:o lossSpread:n maxMessage:n address:s channels:a",
  subscribed: "channel:s epoch:s offset:n recovered:b",
  unsubscribed: "channel:s code:s? reason:s?",
  data: "channel:s offset:n id:s timestamp:n from:s? payloadBase64:s?",
  gap: "channel:s epoch:s from:n? to:n? code:s",
  ack: "seq:n? offsets:a? id:s?",
  nack: "seq:n? id:s? code:s reason:s",
  ping: "",
  pong: "id:s?",
  heartbeat: "interval:n",
  reconnect: "after:a code:s url:s?",
  history: "id:s channel:s epoch:s offset:n messages:a",
  presence: "id:s channel:s members:a",
  join: "channel:s session:s user:s",
  leave: "channel:s session:s user:s",
  reply: "id:s code:s? reason:s?",
  error: "code:s reason:s re:s? id:s? channel:s? expected:n?"
};
var fits = {
  s: (value) => typeof value === "string",
  n: isNumber,
  b: (value) => typeof value === "boolean",
  a: Array.isArray,
  o: isMembers
};
function isMembers(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
function fault(members, shape) {
  for (const rule of shape.split(" ")) {
    const [name = "", kind = ""] = rule.split(":");
    const value = members[name];
    if (name === "") continue;
    if (value === void 0 || value === null) {
      if (!kind.endsWith("?")) return `"${name}" is missing`;
      if (value === null && name !== "lastSeq" && name !== "from" && name !== "to") delete members[name];
    } else if (fits[kind.charAt(0)]?.(value) !== true) return `"${name}" is of a wrong type`;
  }
  return void 0;
}
function allFit(list, shape) {
  return list.every((element) => isMembers(element) && fault(element, shape) === void 0);
}
function deeperFault(members, type) {
  const list = (name) => members[name] ?? [];
  switch (type) {
    case "welcome":
      if (fault(members["heartbeat"], "interval:n min:n max:n") !== void 0) return '"heartbeat" is of a wrong type';
      return allFit(list("channels"), "channel:s epoch:s offset:n") ? void 0 : '"channels" is of a wrong type';
    case "ack":
      return list("offsets").every((offset) => offset === null || isNumber(offset)) ? void 0 : '"offsets" is of a wrong type';
    case "reconnect":
      return list("after").length === 2 && list("after").every(isNumber) ? void 0 : '"after" is of a wrong type';
    case "presence":
      return allFit(list("members"), "session:s user:s") ? void 0 : '"members" is of a wrong type';
    case "history":
      return list("messages").every((each) => isMembers(each) && fault(each, shapes.data) === void 0 && finishData(each) === void 0) ? void 0 : '"messages" is of a wrong type';
    case "data":
      return finishData(members);
    default:
      return void 0;
  }
}
function finishData(members) {
  const base64 = members["payloadBase64"];
  if (typeof base64 === "string") {
    try {
      members["payload"] = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    } catch {
      return '"payloadBase64" is no base64';
    }
    delete members["payloadBase64"];
  }
  return "payload" in members ? void 0 : '"payload" is missing';
}
function decodeOne(data) {
  let members;
  try {
    members = JSON.parse(data);
  } catch {
    return new BadMessage("it is no JSON");
  }
  if (!isMembers(members)) return new BadMessage("it is no JSON object");
  const type = members["type"];
  if (typeof type !== "string" || !Object.hasOwn(shapes, type)) return new BadMessage('its "type" is missing or unknown');
  const wrong = fault(members, shapes[type]) ?? deeperFault(members, type);
  if (wrong !== void 0) return new BadMessage(wrong);
  const message = members;
  if (message.type === "data") message.bytes = data.length - data.indexOf('"payload') - 11;
  return message;
}
var JsonCodec = class {
  kind = jsonCodec;
  encode = encode;
  decode(data) {
    return [typeof data === "string" ? decodeOne(data) : new WrongKind("a binary message where JSON was agreed on")];
  }
};
var jsonCodec = {
  protocol: "holdfast.v1.json",
  encoding: "json",
  create: () => new JsonCodec()
};

// src/core/random.ts
function randomFrom(unit) {
  return { below: (below) => Math.floor(unit() * below) };
}

// src/core/state.ts
var afterLive = ["waiting", "offline", "connecting", "closing", "ended"];
var mayFollow = {
  waiting: ["connecting", "offline", "ended"],
  connecting: ["live", "waiting", "offline", "ended"],
  live: ["doubtful", ...afterLive],
  doubtful: ["live", ...afterLive],
  offline: ["waiting", "connecting", "ended"],
  closing: ["ended"],
  ended: []
};
function stateMayFollow(from, to) {
  return mayFollow[from].includes(to);
}
function isConnected(state) {
  return state === "live" || state === "doubtful";
}
function assert(holds, what) {
  if (!holds) throw new Error(`holdfast-client: broken invariant: ${what}`);
}

// src/core/backoff.ts
var backoffBaseMs = 500;
var backoffCapMs = 3e4;
var backoffBackgroundCapMs = 3e5;
var backoffFloorMs = 100;
var backoffStableMs = 3e4;
var backoffLossMsMax = 6e4;
var backoffOwnMsMax = 100;
var backoffRandomMsMax = 1e3;
var backoffAdviceMsMax = 36e5;
function uniform(random, max) {
  return random.below(max + 1);
}
function signalDelay(random) {
  return uniform(random, backoffOwnMsMax);
}
function toldDelay(end, random) {
  const min = Math.min(end.minMs, backoffAdviceMsMax);
  const max = end.cause === "retry" ? min + backoffRandomMsMax : Math.min(end.maxMs, backoffAdviceMsMax);
  return max > min ? min + uniform(random, max - min) : min;
}
var Backoff = class {
  /** n of the formula. */
  failures = 0;
  capMs = backoffCapMs;
  /** When the welcome of the connection that stands came; null: none stands. */
  connectedAt = null;
  /** On this connection, a message was delivered or acknowledged. */
  useful = false;
  /** Whether nobody is looking: see the caps. */
  background(background) {
    this.capMs = background ? backoffBackgroundCapMs : backoffCapMs;
  }
  /** The welcome has come. */
  connected(now) {
    this.connectedAt = now;
    this.useful = false;
  }
  /** A message was delivered, or a publish acknowledged. */
  progressed() {
    this.useful = true;
  }
  /** The connection or attempt has ended: how many ms to wait before the next attempt. */
  ended(end, random, now) {
    const useful = this.connectedAt !== null && this.useful;
    const failed = (end.attemptFailed || !useful) && end.cause !== "signal";
    if (!end.attemptFailed && useful && now - (this.connectedAt ?? now) >= backoffStableMs) this.failures = 0;
    let delay;
    if (end.cause === "advice" || end.cause === "retry") delay = toldDelay(end, random);
    else if (this.failures === 0 || end.cause === "signal") delay = this.firstDelay(end, random);
    else delay = this.fullJitter(random);
    if (failed) this.failures++;
    this.connectedAt = null;
    this.useful = false;
    return delay;
  }
  /** The delay that the cause alone asks for; it holds for the first attempt after it. */
  firstDelay(end, random) {
    if (end.cause === "signal" || end.cause === "own") return uniform(random, backoffOwnMsMax);
    if (end.cause === "loss") return uniform(random, Math.min(end.lossSpreadMs, backoffLossMsMax));
    return this.fullJitter(random);
  }
  fullJitter(random) {
    const limit = this.failures < 16 ? Math.min(this.capMs, backoffBaseMs * 2 ** this.failures) : this.capMs;
    return Math.max(uniform(random, limit), backoffFloorMs);
  }
};

// src/core/inbox.ts
var Inbox = class {
  /** latest: "What `latest` skips is no gap" (PROTOCOL.md, gap) */
  constructor(latest) {
    this.latest = latest;
  }
  place = "nowhere";
  epoch = "";
  /** What the last judged gap leaves after what the inbox has is taken off it. */
  gapFrom = 0;
  gapTo = 0;
  /** The next one to deliver, 1 … */
  next = 0;
  /** Told to the server on any connection. */
  acked = 0;
  /** Stand behind an offset of an epoch (`since`). */
  placeAt(epoch, offset) {
    this.epoch = epoch;
    this.next = offset + 1;
    this.acked = offset;
    this.place = "placed";
  }
  /** Begin with the first message that comes (`last`). */
  float() {
    this.place = "floating";
    this.next = 0;
    this.acked = 0;
  }
  /** Whether there is a position to ask `since`. */
  get placed() {
    return this.place === "placed" || this.place === "syncing";
  }
  /** The last offset that the application has, 0: none. */
  get position() {
    return this.next === 0 ? 0 : this.next - 1;
  }
  /** Judge a message. */
  data(offset) {
    if (this.place === "nowhere" || offset === 0) return "ignore";
    if (this.place !== "floating") {
      if (offset < this.next) return "duplicate";
      if (offset > this.next && !this.latest) return this.askAgain();
    }
    this.standBehind(offset);
    return "deliver";
  }
  /** Judge a gap of offsets. "it counts only above the client's own position" (PROTOCOL.md, gap). */
  gap(from, to) {
    if (this.place === "nowhere" || from === 0 || from > to) return "ignore";
    if (this.place !== "floating") {
      if (to < this.next) return "duplicate";
      if (from > this.next && !this.latest) return this.askAgain();
      from = Math.max(from, this.next);
    }
    this.gapFrom = from;
    this.gapTo = to;
    this.standBehind(to);
    return "deliver";
  }
  /**
   * Judge a gap of code `epoch`: "the channel was begun anew, `epoch` is the new one …, delivery goes on from its offset 1" (PROTOCOL.md, gap). One that the inbox has
   * already comes again after a resume, when nothing of the new epoch had been acknowledged.
   */
  newEpoch(epoch) {
    if (this.place !== "nowhere" && epoch === this.epoch) return "duplicate";
    if (!isLabel(epoch, true)) return "broken";
    this.epoch = epoch;
    this.standBehind(0);
    this.acked = 0;
    return "deliver";
  }
  /**
   * The answer to a subscribe: the channel's epoch and head. `deliver` where the epoch is not the one that was asked for and no gap told so: report the new epoch.
   */
  subscribed(epoch, head2) {
    const verdict = this.enterEpoch(epoch);
    if (verdict !== "duplicate") return verdict;
    if (this.place === "nowhere" && this.latest) this.place = "floating";
    if (this.place === "nowhere") {
      this.standBehind(head2);
      this.acked = head2;
    }
    return "ignore";
  }
  /**
   * The session was resumed, and the server goes on behind `offset`. As subscribed(), or `sync` where that is beyond what the inbox has: a gap or a new epoch was told on
   * the lost connection only.
   */
  resumed(epoch, offset) {
    this.lost();
    const verdict = this.enterEpoch(epoch);
    if (verdict !== "duplicate") return verdict;
    if (this.latest) {
      if (!this.placed) this.place = "floating";
      return "ignore";
    }
    if (!this.placed) this.standBehind(offset);
    if (offset > this.position) return this.askAgain();
    this.acked = offset;
    return "ignore";
  }
  /** The session is gone; a sync_request that was under way has no answer. */
  lost() {
    if (this.place === "syncing") this.place = "placed";
  }
  /** Whether there is something to acknowledge. */
  get unacked() {
    return this.placed && this.position > this.acked;
  }
  ackedAll() {
    this.acked = this.position;
  }
  standBehind(offset) {
    this.next = offset + 1;
    this.place = "placed";
  }
  askAgain() {
    if (this.place === "syncing") return "ignore";
    this.place = "syncing";
    return "sync";
  }
  /** Take over the epoch that the server names; a change is to be reported where the application had a position in the old one. */
  enterEpoch(epoch) {
    if (this.placed) return this.newEpoch(epoch);
    if (!isLabel(epoch, true)) return "broken";
    this.epoch = epoch;
    return "duplicate";
  }
};

// src/core/subscriptions.ts
var mayFollow2 = {
  wanted: ["asked", "active", "leaving"],
  asked: ["active", "wanted", "leaving"],
  active: ["wanted", "leaving"],
  leaving: ["left"],
  left: ["leaving"]
};
var Followed = class {
  constructor(channel, latest, presence) {
    this.channel = channel;
    this.presence = presence;
    this.inbox = new Inbox(latest);
  }
  state = "wanted";
  /** The application has been told that it is subscribed. */
  told = false;
  /** wanted, but the server asked to wait. */
  deferred = false;
  /** By the welcome that is being looked at. */
  named = false;
  /** To be removed; that welcome showed that it has ended. */
  over = false;
  /** Asked for with `last`; 0: not. */
  last = 0;
  inbox;
  get leaving() {
    return this.state === "leaving" || this.state === "left";
  }
  move(to) {
    assert(mayFollow2[this.state].includes(to), `a subscription cannot go from ${this.state} to ${to}`);
    this.state = to;
    this.deferred = false;
  }
};

// src/core/channels.ts
var resubscribeMsMin = 500;
var syncMs = 1e4;
var refusedForNow = ["overloaded", "unavailable", "rate_limited", "timeout"];
function checkStart(channel, { since, last = 0, mode = "all" }) {
  if (!isChannelName(channel)) return `"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`;
  if (since !== void 0 && !(isLabel(since.epoch, true) && isNumber(since.offset)))
    return '"since" is no position: give one as a subscription had it, {epoch, offset}';
  if (!isNumber(last)) return '"last" is no number of messages';
  return mode === "all" || mode === "latest" ? void 0 : '"mode" is neither "all" nor "latest"';
}
var Channels = class {
  constructor(s) {
    this.s = s;
  }
  /** Subscribes and unsubscribes without an answer. */
  asked = 0;
  /** A hole must be filled by then; Infinity: none. */
  syncUntil = Infinity;
  /** Deferred subscribes are due; Infinity: none. */
  resubscribeAt = Infinity;
  /** In the order of subscribing. */
  all = /* @__PURE__ */ new Map();
  find(channel) {
    return this.all.get(channel);
  }
  /* --- what the application asks for --- */
  /** Throws: see Client.subscribe(). */
  subscribe(channel, options, now) {
    const wrong = checkStart(channel, options);
    if (wrong !== void 0) throw new HoldfastError("invalid", wrong);
    if (this.s.closing) throw new HoldfastError("closed", "this client was closed, or its session has ended: make a new one");
    const { since, last = 0, mode = "all", presence = false } = options;
    const sub = this.add(channel, mode === "latest", presence);
    if (since !== void 0) {
      sub.inbox.placeAt(since.epoch, since.offset);
    } else {
      sub.last = last;
      if (last > 0 || mode === "latest") sub.inbox.float();
    }
    this.putRequests(now);
  }
  /** No message of the channel comes after this call; `unsubscribed` follows. False: it is not followed. */
  unsubscribe(channel, now) {
    const sub = this.all.get(channel);
    if (sub === void 0 || sub.leaving || this.s.closing) return false;
    if (sub.state === "asked" && this.asked > 0) this.asked--;
    sub.move("leaving");
    this.putRequests(now);
    return true;
  }
  putRequests(now) {
    if (!isConnected(this.s.state) || this.s.greeting) return;
    for (const sub of this.all.values()) {
      if (sub.state === "wanted" && !sub.deferred) this.putSubscribe(sub);
      else if (sub.state === "leaving" && !this.s.inherited) this.putUnsubscribe(sub);
      else continue;
      this.asked++;
      this.s.awaitingAnswer(now);
    }
  }
  /** What is to be acknowledged, and has been with that. Ends where `more` says so, which is asked before each. */
  *acksDue(more) {
    let count = 0;
    for (const sub of this.all.values()) {
      if (sub.state !== "active" || !sub.inbox.unacked) continue;
      if (!more(count++)) return;
      sub.inbox.ackedAll();
      yield [sub.channel, sub.inbox.position];
    }
  }
  tick(now) {
    if (now >= this.resubscribeAt) {
      this.resubscribeAt = Infinity;
      for (const sub of this.all.values()) sub.deferred = false;
      this.putRequests(now);
    }
    if (now >= this.syncUntil) this.s.fail("the server left out messages without telling");
  }
  disconnected() {
    this.asked = 0;
    this.syncUntil = Infinity;
    this.resubscribeAt = Infinity;
  }
  /* --- what the server says --- */
  onSubscribed(message, now) {
    const sub = this.all.get(message.channel) ?? this.addForBackend(message.channel);
    if (sub === void 0 || sub.leaving) return;
    if (sub.state === "asked") this.requestAnswered(now);
    if (sub.state !== "active") sub.move("active");
    this.obeyInbox(sub, sub.inbox.subscribed(message.epoch, message.offset), now);
    if (!sub.leaving && this.s.failed === null) this.emitSubscribed(sub, message.recovered);
  }
  onUnsubscribed(message, now) {
    const sub = this.all.get(message.channel);
    const decidedByServer = message.code !== void 0;
    if (sub === void 0 || this.s.inherited && !decidedByServer) return;
    if (sub.state === "left" || sub.state === "asked") this.requestAnswered(now);
    if (sub.leaving || decidedByServer) this.remove(sub, message.code ?? "", message.reason ?? "");
  }
  onData(message, now) {
    const sub = this.all.get(message.channel);
    if (sub === void 0 || sub.leaving || !isConnected(this.s.state) || this.s.closeWanted) return;
    if (this.s.inherited && sub.state !== "active") return;
    const verdict = sub.inbox.data(message.offset);
    if (verdict === "sync") this.putSync(sub, now);
    if (verdict !== "deliver") return;
    this.checkHoles();
    this.s.caughtUpCount++;
    this.s.backoff.progressed();
    this.s.emit({ type: "message", epoch: sub.inbox.epoch, message });
    this.s.delivered(message.bytes ?? 0, now);
  }
  onGap(message, now) {
    const sub = this.all.get(message.channel);
    if (sub === void 0 || sub.leaving || !isConnected(this.s.state)) return;
    if (this.s.inherited && sub.state !== "active") return;
    if (message.code === "epoch") {
      this.obeyInbox(sub, sub.inbox.newEpoch(message.epoch), now);
      this.checkHoles();
      return;
    }
    const verdict = sub.inbox.gap(message.from ?? 0, message.to ?? 0);
    if (verdict === "deliver") {
      this.checkHoles();
      this.emitGap(sub, sub.inbox.gapFrom, sub.inbox.gapTo, message.code);
      this.s.delivered(0, now);
    } else {
      this.obeyInbox(sub, verdict, now);
    }
  }
  onPresence(message) {
    const { channel, session, user, info } = message;
    const sub = this.all.get(channel);
    if (sub === void 0 || sub.leaving || !sub.presence) return;
    const member = info === void 0 ? { session, user } : { session, user, info };
    this.s.emit({ type: "presence", kind: message.type, channel, member });
  }
  /** Whether an `error` is the answer to a request about a channel, which it then was. */
  onError(message, now) {
    const sub = message.channel === void 0 ? void 0 : this.all.get(message.channel);
    if (message.re === "subscribe" && sub?.state === "asked") {
      this.subscribeRefused(sub, message, now);
      return true;
    }
    if (message.re === "unsubscribe" && sub?.state === "left") {
      this.requestAnswered(now);
      this.remove(sub, "", "");
      return true;
    }
    return false;
  }
  /* --- what a welcome says --- */
  /** One of welcome.channels: the server goes on there, whatever we know of it. */
  named(at, now) {
    if (this.s.inherited) {
      this.s.put({ type: "unsubscribe", channel: at.channel });
      return;
    }
    const sub = this.all.get(at.channel) ?? this.addForBackend(at.channel);
    if (sub === void 0) return;
    sub.named = true;
    if (sub.state === "left") sub.move("leaving");
    if (sub.leaving) return;
    if (sub.state !== "active") sub.move("active");
    this.obeyInbox(sub, sub.inbox.resumed(at.epoch, at.offset), now);
    if (!sub.told && !sub.leaving) this.emitSubscribed(sub, true);
    if (!this.s.ackPlanned && sub.inbox.unacked) this.s.delivered(0, now);
  }
  /** What was not named begins again, or has ended. */
  sort() {
    const over = [];
    for (const sub of this.all.values()) {
      if (!sub.named) {
        if (sub.leaving) over.push(sub);
        else this.begunAgain(sub);
      }
      sub.named = false;
    }
    for (const sub of over) this.remove(sub, "", "");
  }
  /* --- within --- */
  add(channel, latest, presence) {
    if (this.all.has(channel))
      throw new HoldfastError("exists", `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
    if (this.all.size >= this.s.config.subscriptions)
      throw new HoldfastError("limit", `${this.all.size} channels are followed, and that is the limit: see the option "subscriptions"`);
    const sub = new Followed(channel, latest, presence);
    this.all.set(channel, sub);
    return sub;
  }
  /** A subscription that the backend made, or forgot to end. */
  addForBackend(channel) {
    if (isChannelName(channel) && this.all.size < this.s.config.subscriptions) return this.add(channel, false, false);
    this.s.emitError("limit", "no room for a subscription that the backend made", channel);
    return void 0;
  }
  remove(sub, code, reason) {
    this.all.delete(sub.channel);
    this.checkHoles();
    this.s.emit({ type: "unsubscribed", channel: sub.channel, code, reason });
  }
  putSubscribe(sub) {
    const { channel, inbox, last } = sub;
    const presence = sub.presence ? { presence: true } : {};
    if (inbox.latest) this.s.put({ type: "subscribe", channel, mode: "latest", ...presence });
    else if (inbox.placed)
      this.s.put({ type: "subscribe", channel, since: { epoch: inbox.epoch, offset: inbox.position }, ...presence });
    else if (last > 0) this.s.put({ type: "subscribe", channel, last, ...presence });
    else this.s.put({ type: "subscribe", channel, ...presence });
    sub.move("asked");
  }
  putUnsubscribe(sub) {
    this.s.put({ type: "unsubscribe", channel: sub.channel });
    sub.move("left");
  }
  putSync(sub, now) {
    this.s.put({ type: "sync_request", channel: sub.channel, offset: sub.inbox.position });
    if (this.syncUntil === Infinity) this.syncUntil = now + syncMs;
  }
  requestAnswered(now) {
    if (this.asked > 0) this.asked--;
    this.s.answered(now);
  }
  /** What an inbox says about the server's answer. */
  obeyInbox(sub, verdict, now) {
    if (verdict === "broken") this.s.fail("the server named a channel's epoch that is too long");
    else if (verdict === "deliver") this.emitGap(sub, 0, 0, "epoch");
    else if (verdict === "sync") this.putSync(sub, now);
  }
  /** The hole that a sync_request was sent for may have been filled. */
  checkHoles() {
    if (this.syncUntil === Infinity) return;
    for (const sub of this.all.values()) if (sub.inbox.place === "syncing") return;
    this.syncUntil = Infinity;
  }
  subscribeRefused(sub, message, now) {
    this.requestAnswered(now);
    if (!refusedForNow.includes(message.code)) {
      this.remove(sub, message.code, message.reason);
      return;
    }
    sub.move("wanted");
    sub.deferred = true;
    if (this.resubscribeAt === Infinity)
      this.resubscribeAt = now + resubscribeMsMin + this.s.random.below(resubscribeMsMin);
  }
  begunAgain(sub) {
    if (sub.state !== "wanted") sub.move("wanted");
    sub.inbox.lost();
    sub.deferred = false;
  }
  emitSubscribed(sub, recovered) {
    sub.told = true;
    const { epoch, position: offset } = sub.inbox;
    this.s.emit({ type: "subscribed", channel: sub.channel, epoch, offset, recovered });
  }
  emitGap(sub, from, to, code) {
    this.s.emit({ type: "gap", channel: sub.channel, epoch: sub.inbox.epoch, from, to, code });
  }
};

// src/core/heartbeat.ts
var heartbeatIntervalMs = 25e3;
var softMsMin = 1e3;
var softMsMax = 4e3;
var hardMsMin = 3e3;
var hardMsMax = 1e4;
var slackMs = 400;
var quietMs = 1e4;
var probeMsMax = 3e4;
function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
var Heartbeat = class {
  constructor(policy) {
    this.policy = policy;
  }
  /** The one in force at the server: more silence it ends. */
  serverIntervalMs = heartbeatIntervalMs;
  /** Of the last ping sent. */
  pingId = 0;
  /** The ping without a pong; null: none is under way. */
  pingedAt = null;
  receivedAt = 0;
  sentAt = 0;
  beat = { gapMs: 0, scheduled: false };
  /** Doubt: since when something waits for an answer; null: nothing does. */
  askedAt = null;
  /** The last sign of life since the ping, be it a receipt or output that moved; else the ping's time, or askedAt before it. */
  silentFrom = 0;
  srttMs = 0;
  rttvarMs = 0;
  hasMeasured = false;
  /** Ping at the next tick. */
  doubt = false;
  /** `suspect` has been told for this silence. */
  suspected = false;
  /** The server's interval from now on; 0 is ignored. A policy may ask for less, and gets no more. */
  setInterval(intervalMs) {
    if (intervalMs > 0) this.serverIntervalMs = intervalMs;
  }
  /** The silence after which a ping is due. */
  intervalMs() {
    return this.policy === null ? this.serverIntervalMs : Math.min(this.policy.intervalMs(), this.serverIntervalMs);
  }
  /** A connection has opened; the round trips measured on others stay as a first guess. */
  opened(now) {
    this.receivedAt = now;
    this.pingedAt = null;
    this.askedAt = null;
    this.doubt = false;
    this.suspected = false;
    this.policy?.connected?.(now);
  }
  /** The connection has ended without our doing and without a word: with a ping on its way, as if that had got no answer. */
  lost(now) {
    if (this.pingedAt !== null) this.tellFailure(now);
  }
  /**
   * A round trip was measured. RFC 6298 section 2: "SRTT <- R, RTTVAR <- R/2" for the first measurement, then "RTTVAR <- (1 - beta) * RTTVAR + beta *
   * |SRTT - R'|, SRTT <- (1 - alpha) * SRTT + alpha * R'" with alpha 1/8 and beta 1/4.
   */
  measured(rttMs) {
    const r = clamp(Math.floor(rttMs), 0, probeMsMax);
    if (!this.hasMeasured) {
      this.hasMeasured = true;
      this.srttMs = r;
      this.rttvarMs = Math.floor(r / 2);
      return;
    }
    this.rttvarMs = Math.floor((3 * this.rttvarMs + Math.abs(this.srttMs - r)) / 4);
    this.srttMs = Math.floor((7 * this.srttMs + r) / 8);
  }
  dataReceived(now) {
    this.receivedAt = now;
    this.silentFrom = now;
    this.suspected = false;
  }
  /**
   * The socket has taken some of a backlog of output. A ping may lie behind megabytes on a slow line: while they move, the line is slow, not dead.
   */
  outputMoved(now) {
    this.silentFrom = now;
  }
  dataSent(now) {
    this.sentAt = now;
  }
  /** The network changed, the machine woke up, or the server asked for a move: what ends now says nothing about intervals. */
  disturbed() {
    this.policy?.disturbed?.();
  }
  /** Something makes the path doubtful. */
  doubted() {
    if (this.pingedAt === null) this.doubt = true;
  }
  /**
   * A request that was put out at askedAt has had no answer for the soft deadline. It was a ping in all but name: the silence that ends in death counts from there,
   * and not from the ping that follows now.
   */
  answerLate(askedAt) {
    if (this.pingedAt !== null) return;
    this.doubt = true;
    this.askedAt = askedAt;
  }
  /** The application sends something: whether that is a doubt, after so long a silence. */
  sending(now) {
    return now - this.receivedAt >= quietMs;
  }
  /** The id tells which ping is answered, so that no measurement is ambiguous (Karn's problem, RFC 6298 section 3). */
  pongReceived(pingId, now) {
    if (this.pingedAt === null || pingId !== this.pingId) return;
    this.measured(now - this.pingedAt);
    this.pingedAt = null;
    this.policy?.recordSuccess(this.beat, now);
  }
  softMs() {
    const rto = this.hasMeasured ? this.srttMs + 4 * this.rttvarMs : 1e3;
    return clamp(rto + slackMs, softMsMin, softMsMax);
  }
  hardMs() {
    return clamp(2 * this.softMs(), hardMsMin, hardMsMax);
  }
  /** When tick() has something to say; 0: at once. */
  deadline() {
    if (this.pingedAt === null) return this.doubt ? 0 : this.receivedAt + this.intervalMs();
    if (!this.suspected) return Math.min(this.silentFrom + this.softMs(), this.deadAt());
    return this.deadAt();
  }
  tick(now) {
    if (now < this.deadline()) return "ok";
    if (this.pingedAt === null) return this.ping(now);
    if (now >= this.deadAt()) {
      this.tellFailure(now);
      return "dead";
    }
    this.suspected = true;
    return "suspect";
  }
  deadAt() {
    return Math.min(this.silentFrom + this.hardMs(), (this.pingedAt ?? 0) + probeMsMax);
  }
  /** What came after the ping proves that the silence before it did no harm. */
  tellFailure(now) {
    if (this.pingedAt !== null && this.receivedAt > this.pingedAt) this.beat.gapMs = 0;
    this.policy?.recordFailure(this.beat, now);
  }
  ping(now) {
    this.beat.gapMs = now - Math.max(this.receivedAt, this.sentAt);
    this.beat.scheduled = now >= this.receivedAt + this.intervalMs();
    this.pingId++;
    this.pingedAt = now;
    this.silentFrom = this.askedAt === null ? now : Math.min(now, Math.max(this.askedAt, this.receivedAt, this.silentFrom));
    this.askedAt = null;
    this.suspected = false;
    this.doubt = false;
    return "ping";
  }
};

// src/core/link.ts
var mayFollow3 = {
  idle: ["dialing"],
  dialing: ["ready", "open", "closing", "idle"],
  ready: ["opening", "idle"],
  opening: ["open", "closing", "idle"],
  open: ["closing", "idle"],
  closing: ["idle"]
};
var Link = class {
  constructor(random) {
    this.random = random;
  }
  state = "idle";
  /** The number of the connection that it carries; rising over all links of a session. */
  attempt = 0;
  /** The request may have reached the server. */
  requested = false;
  /** `closing`: to tell the server; 0: nothing. */
  closeCode = 0;
  codec = null;
  /** Until when a `closing` link is kept for its driver to write the rest. */
  lingerUntil = Infinity;
  /** What the driver has not taken yet, and its bytes, with those that it has taken and its socket has not. */
  outBytes = 0;
  out = [];
  dial(attempt) {
    this.move("dialing");
    this.attempt = attempt;
  }
  connected() {
    this.move("ready");
  }
  request() {
    this.random.skip?.(2);
    this.requested = true;
    if (this.state === "ready") this.move("opening");
  }
  open(codec) {
    this.codec = codec;
    this.move("open");
  }
  put(message) {
    if (this.state !== "open" || this.codec === null) return;
    this.random.skip?.(1);
    const frame = this.codec.encode(message);
    const bytes = typeof frame === "string" ? utf8Length(frame) : frame.length;
    this.out.push({ data: frame, bytes });
    this.outBytes += bytes;
  }
  /** Take what is to be sent. sent() tells when the socket has taken it. */
  takeOutput() {
    const out = this.out;
    this.out = [];
    return out;
  }
  sent(bytes) {
    this.outBytes = Math.max(0, this.outBytes - bytes);
  }
  /** Tell the server with this code; nothing goes out after it. Does nothing where the link is not open. */
  close(code) {
    if (this.state !== "open") return;
    this.random.skip?.(1);
    this.closeCode = code;
    this.move("closing");
  }
  /** There is no more to be said on it, but for this code. */
  end(code = 0) {
    if (code !== 0) this.random.skip?.(1);
    this.closeCode = code;
    if (this.state !== "closing") this.move("closing");
  }
  drop() {
    if (this.state !== "idle") this.move("idle");
    this.attempt = 0;
    this.requested = false;
    this.closeCode = 0;
    this.codec = null;
    this.out = [];
    this.outBytes = 0;
    this.lingerUntil = Infinity;
  }
  move(to) {
    assert(mayFollow3[this.state].includes(to), `a link cannot go from ${this.state} to ${to}`);
    this.state = to;
  }
};

// src/core/prober.ts
var openMs = 8e3;
var judgeMs = 1e4;
var Prober = class {
  constructor(s, link) {
    this.s = s;
    this.link = link;
  }
  /** When its state has lasted long enough; Infinity: there is none. */
  at = Infinity;
  state = "none";
  /** Begun so far; the last one's number. */
  count = 0;
  /** Its silence. */
  gapMs = 0;
  silentFrom = 0;
  /** Nothing will be known of it; does nothing where there is none. */
  abandon(now) {
    if (this.state !== "none") this.end("unknown", now);
  }
  /** The live connection has been answered: a probe is judged, or begins if one is wanted. */
  networkGood(now) {
    const { policy } = this.s.config;
    if (policy === null || this.s.state !== "live" || this.s.hasNext) return;
    if (this.state === "judging") this.end("dead", now);
    if (this.state !== "none" || this.link.state !== "idle") return;
    this.gapMs = policy.probeGapMs?.(now) ?? 0;
    if (this.gapMs === 0) return;
    this.link.dial(++this.count);
    this.move("dialing", now + openMs);
  }
  connected() {
    if (this.state !== "dialing" || this.link.state !== "dialing") return;
    this.link.connected();
    this.move("asking", this.at);
    this.link.request();
  }
  opened(codec) {
    if (this.state === "dialing") this.move("asking", this.at);
    this.link.open(codec.create());
  }
  message(message, now) {
    if (message instanceof BadMessage) this.abandon(now);
    else if (this.state === "asking" && message.type === "welcome") this.ask();
    else if (this.state === "asking" && message.type === "heartbeat") this.beSilent(message.interval, now);
    else if (this.state === "pinged" && message.type === "pong") this.survived(now);
    else if (this.state !== "pinged" || message.type !== "ping") this.abandon(now);
  }
  lost(now) {
    if (this.state === "silent") this.gapMs = now - this.silentFrom;
    if (this.state === "silent" || this.state === "pinged") this.judge(now);
    else this.abandon(now);
    this.link.drop();
  }
  tick(now) {
    if (now < this.at) return;
    if (this.state === "silent") {
      this.move("pinged", now + this.s.heartbeat.hardMs());
      this.link.put({ type: "ping", id: "1" });
    } else if (this.state === "pinged") {
      this.judge(now);
    } else {
      this.abandon(now);
    }
  }
  move(to, at) {
    this.state = to;
    this.at = at;
  }
  end(outcome, now) {
    if (this.link.state !== "closing") this.link.drop();
    this.move("none", Infinity);
    this.s.config.policy?.probeEnded?.(this.gapMs, outcome, now);
  }
  /** No pong, or no connection: is the network to blame? Only if the live connection is answered now. */
  judge(now) {
    this.link.drop();
    this.move("judging", now + judgeMs);
    this.s.heartbeat.doubted();
  }
  /** Ask the server to be silent for longer than the gap. */
  ask() {
    this.link.put({ type: "heartbeat", interval: this.gapMs + boundRoomMs });
  }
  beSilent(intervalMs, now) {
    if (intervalMs <= this.gapMs) {
      this.abandon(now);
      return;
    }
    this.silentFrom = now;
    this.move("silent", now + this.gapMs);
  }
  /** The network bears the gap. The server may forget the probe's session at once. */
  survived(now) {
    this.link.put({ type: "bye" });
    this.link.close(closeCodes.normal);
    this.end("alive", now);
  }
};

// src/core/outbox.ts
var itemBytes = 96;
var Outbox = class {
  constructor(messagesMax, bytesMax, window) {
    this.messagesMax = messagesMax;
    this.bytesMax = bytesMax;
    this.window = window;
  }
  /** Publish id of the item at the front, or the next one's where there is none. */
  firstId = 1;
  /** seq = publish id - seqBase */
  seqBase = 0;
  /** Items from the front that need not be written on this connection (any more). */
  written = 0;
  /** Items from the front that may have reached the server in this session. */
  sent = 0;
  bytes = 0;
  /** The items from `head` on; what is before is gone, and cut off from time to time. */
  items = [];
  head = 0;
  get count() {
    return this.items.length - this.head;
  }
  get nextId() {
    return this.firstId + this.count;
  }
  /** `full` for now; `too_large`: it would not fit into the empty outbox. */
  room(bytes) {
    if (bytes > this.bytesMax) return "too_large";
    return this.count >= this.messagesMax || this.bytes > this.bytesMax - bytes ? "full" : "ok";
  }
  /** Whatever the bounds say. */
  add(channel, id, payload, bytes) {
    const item = { publishId: this.nextId, channel, id, payload, bytes, refused: false };
    this.items.push(item);
    this.bytes += bytes;
    return item;
  }
  /** The newest item was not accepted after all. Nothing of it may have been written. */
  takeBack() {
    this.bytes -= this.items.pop()?.bytes ?? 0;
  }
  /** The next item to write on this connection; undefined: nothing to write, or the window is full. */
  next() {
    return this.written >= this.window ? void 0 : this.at(this.written);
  }
  /** It has been put into the connection's output. */
  wrote() {
    this.written++;
    this.sent = Math.max(this.sent, this.written);
  }
  /** The publish id of the last item that might be written next within so many bytes of output. */
  ahead(bytes) {
    let i = this.written;
    for (let sum = 0; i < this.count && i < this.window && sum < bytes; i++) sum += this.at(i)?.bytes ?? 0;
    return this.firstId + i - 1;
  }
  seq(item) {
    return item.publishId - this.seqBase;
  }
  /** The highest seq that this session may have got; 0: none. */
  get seqSent() {
    return this.firstId + this.sent - 1 - this.seqBase;
  }
  /** The item with this seq, sent and not yet popped. */
  find(seq) {
    const index = seq - (this.firstId - this.seqBase);
    return index >= 0 && index < this.sent ? this.at(index) : void 0;
  }
  /** Take the item at the front, if it has been sent and its seq is not above `seq`. */
  pop(seq) {
    return this.sent === 0 || this.firstId - this.seqBase > seq ? void 0 : this.popFront();
  }
  /** The same for an item at the front that has been refused: "counts as done" (PROTOCOL.md, nack). */
  popRefused() {
    return this.sent === 0 || this.at(0)?.refused !== true ? void 0 : this.popFront();
  }
  /** The connection is gone: all that is left is to be written again, for the server drops what it knows. */
  disconnected() {
    this.written = 0;
  }
  /**
   * The next connection has resumed the session: what is not above lastSeq need not be written, it only waits to be popped. False: lastSeq contradicts what the server has
   * acknowledged, or what it was sent.
   */
  resumed(lastSeq) {
    const answered = this.firstId - this.seqBase - 1;
    if (lastSeq < answered || lastSeq > this.seqSent) return false;
    this.written = lastSeq - answered;
    return true;
  }
  /**
   * A new session has begun: what is left gets the numbers 1, 2, 3 … and is written anew. The caller has popped before what the old session is known to have applied, and
   * what is uncertain.
   */
  renewed() {
    this.seqBase = this.firstId - 1;
    this.written = 0;
    this.sent = 0;
  }
  /**
   * Take the item at the front out of the numbering, its seq not having been used: for a publish that the server refused by ending the connection (close 1009). Nothing may be
   * written and unanswered.
   */
  popUnused() {
    if (this.sent === 0) return void 0;
    this.seqBase++;
    return this.popFront();
  }
  /** The session is over for good: take the item at the front, whatever it is. */
  take() {
    return this.count === 0 ? void 0 : this.popFront();
  }
  at(index) {
    return this.items[this.head + index];
  }
  popFront() {
    const item = this.items[this.head];
    this.items[this.head++] = void 0;
    if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    this.firstId++;
    this.written = Math.max(0, this.written - 1);
    this.sent = Math.max(0, this.sent - 1);
    this.bytes -= item?.bytes ?? 0;
    return item;
  }
};

// src/core/publishing.ts
var belowBytes = 64 * 1024;
var saveAgainMs = 1e3;
var attemptsAhead = 64;
var ticketMax = 512;
function size(payload) {
  return typeof payload === "string" ? utf8Length(payload) : payload.length;
}
function lostCount(s) {
  s.fail("the server has lost count of our publishes");
}
var Publishing = class {
  constructor(s) {
    this.s = s;
    const { outboxMessages, outboxBytes, window } = s.config;
    this.outbox = new Outbox(outboxMessages, outboxBytes, window);
    this.load();
  }
  outbox;
  /** The server's maxMessage; 0: not known yet. */
  payloadBytesMax = 0;
  /** Saving failed, and is tried again then; Infinity: it did not. */
  saveAgainAt = Infinity;
  /** Publishes up to settleSeq are done; which of them were refused is known with the pong. */
  settling = false;
  settleSeq = 0;
  /** "after 1009 takes its oldest unanswered publish for refused" */
  oldestIsRefused = false;
  /** What the store knows. */
  kept = { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: "" };
  /** Ticket or numbers are not what the store knows: no publish may be written. */
  unsaved = false;
  /** Saves under way, in their order. */
  saving = [];
  failureTold = false;
  /* --- what the application asks for --- */
  /** Throws: see Client.publish(). The answer is the publish id. */
  publish(channel, payload, id) {
    if (this.s.closing) throw new HoldfastError("closed", "this client was closed, or its session has ended: make a new one");
    if (!isChannelName(channel))
      throw new HoldfastError("invalid", `"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
    if (id !== void 0 && !isLabel(id, true)) throw new HoldfastError("invalid", "the id is longer than 255 bytes");
    const payloadBytes = size(payload);
    if (payloadBytes < 0) throw new HoldfastError("invalid", "the payload holds half a surrogate pair");
    if (this.payloadBytesMax > 0 && payloadBytes > this.payloadBytesMax)
      throw new HoldfastError(
        "too_large",
        `the payload has ${payloadBytes} bytes, and the server takes ${this.payloadBytesMax}: send it in parts`
      );
    const bytes = itemBytes + utf8Length(channel) + payloadBytes + (id === void 0 ? 0 : utf8Length(id));
    const room = this.outbox.room(bytes);
    if (room === "too_large")
      throw new HoldfastError("too_large", 'the publish is larger than the whole outbox: see the option "outboxBytes"');
    if (room === "full")
      throw new HoldfastError(
        "outbox_full",
        `${this.outbox.count} publishes wait for their answers: publish again when one has settled, or see the options "outboxMessages" and "outboxBytes"`
      );
    const item = this.outbox.add(channel, id, payload, bytes);
    try {
      this.s.config.store?.put(item);
    } catch (error) {
      this.outbox.takeBack();
      throw error;
    }
    return item.publishId;
  }
  /* --- towards the server --- */
  /** Put out what the window and the output have room for. */
  put(now) {
    const { outbox, s } = this;
    if (this.oldestIsRefused) return;
    if (outbox.written === 0 && outbox.next() !== void 0 && s.heartbeat.sending(now)) s.doubt("sent_after_silence", now);
    const last = this.save(now);
    while (s.outBytes < belowBytes && s.failed === null) {
      const item = outbox.next();
      if (item === void 0 || item.publishId > last) return;
      const { channel, payload, id } = item;
      const seq = outbox.seq(item);
      s.put({ type: "data", channel, payload, seq, ...id === void 0 ? {} : { id } });
      outbox.wrote();
      s.awaitingAnswer(now);
    }
  }
  disconnected() {
    this.outbox.disconnected();
    this.settling = false;
  }
  /* --- answers --- */
  onAck(message, now) {
    const { seq, offsets = [] } = message;
    if (seq === void 0) return;
    if (seq > this.outbox.seqSent) {
      this.s.fail("the server acknowledged what it was not sent");
      return;
    }
    if (offsets.length > seq) {
      this.s.fail("the server acknowledged more than it was sent");
      return;
    }
    if (this.settling && seq >= this.settleSeq) this.settling = false;
    this.settle(seq - offsets.length);
    offsets.forEach((offset, i) => {
      const item = this.outbox.pop(seq - offsets.length + i + 1);
      if (item !== void 0) this.done(item, offset ?? 0);
    });
    this.refuseOldest();
    this.s.answered(now);
  }
  onNack(message, now) {
    if (message.seq === void 0) {
      this.s.emitError(message.code, message.reason);
      return;
    }
    const item = this.outbox.find(message.seq);
    if (item === void 0 || item.refused) return;
    item.refused = true;
    this.emitRefused(item, message.code, message.reason);
    for (let done = this.outbox.popRefused(); done !== void 0; done = this.outbox.popRefused()) this.done(done, 0);
    this.s.answered(now);
  }
  /**
   * "one beyond the next by `error bad_seq` with `expected`, not applied" (PROTOCOL.md, data). On one connection that cannot happen to us; so something is broken that a resume mends,
   * unless the server has lost count of what it acknowledged: then the session is lost.
   */
  onBadSeq(message) {
    this.s.forgetSession = message.expected === void 0 || this.outbox.find(message.expected) === void 0;
    lostCount(this.s);
  }
  /** The connection was closed with 1009. */
  refuseOldestLater() {
    this.oldestIsRefused = true;
  }
  /* --- what a welcome says --- */
  /** False: it cannot be, and the connection fails. */
  resumed(lastSeq) {
    if (lastSeq !== null && !this.outbox.resumed(lastSeq)) {
      this.s.forgetSession = true;
      lostCount(this.s);
      return false;
    }
    this.settling = lastSeq !== null && this.outbox.written > 0;
    this.settleSeq = lastSeq ?? 0;
    if (!this.settling) this.refuseOldest();
    return true;
  }
  /** All nacks that follow a welcome have come: what lastSeq covers is settled. */
  settled(now) {
    if (!this.settling) return;
    this.settling = false;
    this.settle(this.settleSeq);
    this.refuseOldest();
    this.s.answered(now);
  }
  /**
   * "The client drops what `lastSeq` covers … if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*: the application is told, and decides"
   * (PROTOCOL.md "Resume" 3).
   */
  renewed(lastSeq, _now) {
    if (lastSeq !== null) {
      this.settle(lastSeq);
      this.refuseOldest();
    } else {
      for (let item = this.outbox.pop(Infinity); item !== void 0; item = this.outbox.pop(Infinity)) {
        const { publishId, channel, id, payload, refused } = item;
        if (!refused) this.s.emit({ type: "uncertain", publishId, channel, id, payload });
      }
    }
    this.oldestIsRefused = false;
    this.s.inherited = false;
    this.unsaved = true;
    this.outbox.renewed();
  }
  /* --- what a successor must know --- */
  /** Let the store know what it must before publishes are written. The answer is the publish id up to which they may be. */
  save(now) {
    if (this.s.config.store === null) return Infinity;
    const ahead = Math.max(this.sentId, this.outbox.ahead(belowBytes));
    if (!this.unsaved && this.kept.firstId === this.outbox.firstId && ahead <= this.kept.sentId) {
      this.saveAgainAt = Infinity;
      return this.kept.sentId;
    }
    const waits = this.saving.length > 0 || this.saveAgainAt !== Infinity && now < this.saveAgainAt;
    if (!waits) this.saveState(this.stateNow(ahead), now);
    return this.unsaved ? 0 : this.kept.sentId;
  }
  /** The store has what was given first of what it has not told about, or has not. */
  saved(ok, now) {
    const state = this.saving.shift();
    if (state === void 0) return;
    if (!ok) {
      this.saveFailed(now);
      return;
    }
    this.kept = state;
    this.saveAgainAt = Infinity;
    this.failureTold = false;
    if (state.ticket === this.s.ticket && state.seqBase === this.outbox.seqBase) this.unsaved = false;
  }
  /** A successor whose attempts are not above ours would be refused with 409: no more than a delay, so that a failure is no matter. */
  saveAttempt(now) {
    const { config, ticket, attempts } = this.s;
    if (config.store === null || ticket === "" || this.unsaved || attempts <= this.kept.attempts) return;
    this.saveState(this.stateNow(Math.max(this.sentId, this.kept.sentId)), now);
  }
  /** What was answered is not asked again. Should that fail, it is, and its answer is as good the second time. */
  saveLast(now) {
    if (this.s.config.store === null) return;
    if (this.unsaved || this.kept.firstId !== this.outbox.firstId) this.saveState(this.stateNow(this.sentId), now);
  }
  saveState(state, now) {
    const result = this.s.config.store?.save(state);
    if (result === "failed") {
      this.saveFailed(now);
      return;
    }
    this.saving.push(state);
    if (result === "kept") this.saved(true, now);
  }
  saveFailed(now) {
    this.saveAgainAt = now + saveAgainMs;
    if (this.failureTold) return;
    this.failureTold = true;
    this.s.emitError("outbox", "the outbox cannot be kept; nothing is sent until it can");
  }
  get sentId() {
    return this.outbox.firstId + this.outbox.sent - 1;
  }
  stateNow(sentId) {
    const { firstId, seqBase } = this.outbox;
    return { firstId, sentId, seqBase, attempts: this.s.attempts + attemptsAhead, ticket: this.s.ticket };
  }
  /** What a predecessor left. */
  load() {
    const { stored } = this.s.config;
    if (stored === null) return;
    const { state, publishes } = stored;
    const { firstId, sentId, seqBase, attempts, ticket } = state;
    const valid = [firstId, sentId, seqBase, attempts].every(isNumber) && seqBase < firstId && sentId + 1 >= firstId && sentId + 1 - firstId <= publishes.length && (ticket === "" || isHeaderToken(ticket, ticketMax));
    if (!valid) throw new HoldfastError("outbox", "what the outbox has kept cannot be: it is damaged, or of something else");
    this.outbox.firstId = firstId;
    this.outbox.seqBase = seqBase;
    for (const { publishId, channel, id, payload } of publishes) {
      if (publishId !== this.outbox.nextId || !isChannelName(channel))
        throw new HoldfastError("outbox", "what the outbox has kept cannot be: publishes are missing, or damaged");
      this.outbox.add(channel, id, payload, itemBytes + utf8Length(channel) + size(payload));
    }
    this.outbox.sent = sentId + 1 - firstId;
    this.s.ticket = this.outbox.sent === 0 ? "" : ticket;
    this.s.inherited = this.s.ticket !== "";
    this.s.attempts = attempts;
    this.kept = state;
  }
  /* --- within --- */
  /** A publish has left the outbox. */
  done(item, offset) {
    const { publishId, channel, refused } = item;
    this.s.backoff.progressed();
    if (!refused) this.s.emit({ type: "acked", publishId, channel, offset });
  }
  settle(seq) {
    for (let item = this.outbox.pop(seq); item !== void 0; item = this.outbox.pop(seq)) this.done(item, 0);
  }
  emitRefused(item, code, reason) {
    this.s.emit({ type: "refused", publishId: item.publishId, channel: item.channel, code, reason });
  }
  refuseOldest() {
    if (!this.oldestIsRefused || this.settling) return;
    this.oldestIsRefused = false;
    const item = this.outbox.popUnused();
    if (item === void 0) return;
    this.unsaved = true;
    if (!item.refused) this.emitRefused(item, "too_large", "the server ended the connection over it");
  }
};

// src/core/requests.ts
var requestsMax = 64;
var Requests = class {
  /** In the order of asking, by the id on the wire. */
  all = /* @__PURE__ */ new Map();
  lastId = 0;
  get full() {
    return this.all.size >= requestsMax;
  }
  /** Asked on the present connection. */
  get asked() {
    let count = 0;
    for (const request of this.all.values()) count += request.asked ? 1 : 0;
    return count;
  }
  add(what) {
    const requestId = ++this.lastId;
    const name = `r${requestId}`;
    this.all.set(name, { requestId, name, what, asked: false });
    return requestId;
  }
  /** Those that have not been asked on this connection, which they are from now on. */
  toAsk() {
    const list = [...this.all.values()].filter((request) => !request.asked);
    for (const request of list) request.asked = true;
    return list;
  }
  /** Take out the one of this type that was asked on this connection under this id. */
  take(type, name) {
    const request = name === void 0 ? void 0 : this.all.get(name);
    if (request === void 0 || !request.asked || request.what.type !== type) return void 0;
    this.all.delete(request.name);
    return request;
  }
  /** The caller waits no more. An answer that comes is ignored. */
  forget(requestId) {
    this.all.delete(`r${requestId}`);
  }
  /** The connection is gone: all are to be asked again, but for the calls that were, which are taken out and given back. */
  disconnected() {
    const lost = [];
    for (const request of this.all.values()) {
      if (request.asked && request.what.type === "call") {
        this.all.delete(request.name);
        lost.push(request);
      }
      request.asked = false;
    }
    return lost;
  }
};

// src/core/questions.ts
var lostCall = "the connection broke before the answer: the call may have reached the backend. Make it again only if twice does no harm";
var Questions = class {
  constructor(s) {
    this.s = s;
  }
  requests = new Requests();
  /** Calls whose connection broke before their answer, until they are told. */
  lost = [];
  get asked() {
    return this.requests.asked;
  }
  /** Ask; an event will name the number that is the answer here. Throws `closed`, `requests_full`. */
  ask(what, now) {
    if (this.s.closing) throw new HoldfastError("closed", "this client was closed, or its session has ended: make a new one");
    if (this.requests.full)
      throw new HoldfastError("requests_full", `${requestsMax} requests wait for their answers: ask again when one has come`);
    const requestId = this.requests.add(what);
    this.put(now);
    return requestId;
  }
  forget(requestId) {
    this.requests.forget(requestId);
  }
  put(now) {
    if (!isConnected(this.s.state) || this.s.greeting) return;
    for (const request of this.requests.toAsk()) {
      this.putOne(request);
      this.s.awaitingAnswer(now);
    }
  }
  /** Whether it answers one of them. */
  onAnswer(message, now) {
    const request = this.requests.take(message.type === "pong" ? "ping" : message.type === "reply" ? "call" : message.type, message.id);
    if (request === void 0) return false;
    const { requestId } = request;
    this.s.answered(now);
    if (message.type === "pong") {
      this.s.emit({ type: "pong", requestId });
    } else if (message.type === "history") {
      const { channel, epoch, offset, messages } = message;
      this.s.emit({ type: "history", requestId, channel, epoch, offset, messages });
    } else if (message.type === "presence") {
      this.s.emit({ type: "members", requestId, channel: message.channel, members: message.members });
    } else if (message.code !== void 0) {
      this.s.emit({ type: "failed", requestId, code: message.code, reason: message.reason ?? "" });
    } else {
      this.s.emit({ type: "reply", requestId, payload: message.payload });
    }
    return true;
  }
  /** Whether an `error` is the answer to one of them. */
  onError(message, now) {
    const { re } = message;
    if (re !== "history" && re !== "presence" && re !== "call") return false;
    const request = this.requests.take(re, message.id);
    if (request === void 0) return false;
    this.s.emit({ type: "failed", requestId: request.requestId, code: message.code, reason: message.reason });
    this.s.answered(now);
    return true;
  }
  disconnected() {
    this.lost.push(...this.requests.disconnected());
  }
  /** "a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6) */
  tellLost() {
    for (let request = this.lost.shift(); request !== void 0; request = this.lost.shift())
      this.s.emit({ type: "failed", requestId: request.requestId, code: "uncertain", reason: lostCall });
  }
  putOne({ name: id, what }) {
    switch (what.type) {
      case "ping":
        return this.s.put({ type: "ping", id });
      case "presence":
        return this.s.put({ type: "presence", id, channel: what.channel });
      case "call":
        return this.s.put({ type: "call", id, method: what.method, payload: what.payload });
      case "history": {
        const { channel, since, limit, reverse } = what;
        const more = { ...since === void 0 ? {} : { since }, limit, ...reverse ? { reverse } : {} };
        return this.s.put({ type: "history", id, channel, ...more });
      }
    }
  }
};

// src/core/session.ts
var probeSlot = 2;
var firstAttemptMs = 4e3;
var nextAttemptMs = 8e3;
var lingerMs = 1e3;
var byeMs = 2e3;
var outputStuckMs = 2e3;
var preparedMax = 3;
var preparedMs = 6e4;
var spareMs = 5e3;
var offlineProbeMs = 3e4;
var redialMs2 = 1e3;
var badMessagesMax = 32;
var optionalBelowBytes = 256 * 1024;
var ackDelayMs = 1e3;
var ackMessages = 256;
var ackBytes = 64 * 1024;
var acksOfPongMax = 1e3;
var ticketMax2 = 512;
var tokenMax = 4096;
function closeMeaning(code) {
  switch (code) {
    case closeCodes.normal:
      return { cause: "ended_by_server", final: true };
    case closeCodes.ended:
      return { cause: "ended_by_server", final: true, evidence: "the session was ended by the application's backend" };
    case closeCodes.tokenExpired:
      return { cause: "token_expired", final: true };
    case closeCodes.superseded:
      return { cause: "superseded", final: true };
    case closeCodes.heartbeatMissed:
      return { cause: "heartbeat_missed", evidence: "the server missed our heartbeat" };
    default:
      return { cause: "closed_by_server" };
  }
}
var Session = class {
  constructor(config, now) {
    this.config = config;
    this.random = config.random;
    this.token = config.token;
    this.backoff.background(config.background);
    this.heartbeat = new Heartbeat(config.policy);
    this.links = [new Link(this.random), new Link(this.random), new Link(this.random)];
    this.attemptAt = now;
    this.channels = new Channels(this);
    this.questions = new Questions(this);
    this.publishing = new Publishing(this);
    this.prober = new Prober(this, this.links[probeSlot]);
  }
  state = "waiting";
  id = "";
  /** Connections that were welcomed. */
  connections = 0;
  /** The slot that the session lives on; -1: none. */
  live = -1;
  random;
  heartbeat;
  backoff = new Backoff();
  publishing;
  channels;
  questions;
  /** A welcome is being looked at: requests wait until it has been. */
  greeting = false;
  /** The session was another process's, and its subscriptions are not all ended yet. */
  inherited = false;
  /** Empty: there is no session to resume. */
  ticket = "";
  /** Attempts made so far; the last one's number. */
  attempts = 0;
  /** The live connection cannot go on: why; null: it can. */
  failed = null;
  /** And the session cannot, either. */
  forgetSession = false;
  /** close() was called in an event. */
  closeWanted = false;
  caughtUpCount = 0;
  links;
  prober;
  token;
  /** The slot that shall follow; -1: none. */
  next = -1;
  /** `next` is prepared only: the upgrade waits until the doubt is confirmed. */
  nextHeld = false;
  /** The highest attempt whose request went out and whose answer was not waited for. */
  givenUp = 0;
  /** waiting, offline: when the next one is due, and why then. */
  attemptAt;
  attemptCause = "started";
  /** The server has named a time, which signals bring forward only within bounds; 0: it has not. */
  toldUntil = 0;
  /** `next`: when it was begun; when it is given up (Infinity: it is prepared, and the doubt stands); when its request was put out. */
  attemptFrom = 0;
  attemptUntil = Infinity;
  requestAt = 0;
  prepared = [];
  /** doubtful: anything that comes after this ping was sent proves the connection. */
  proofPing = 0;
  offline = false;
  /** live: when the server's `reconnect` is to be followed; Infinity: there is none. */
  leaveAt = Infinity;
  /** A `reconnect` on a connection that got no welcome. */
  advice = null;
  /** closing: the wait for the server's answer to `bye`. */
  closeUntil = Infinity;
  lossSpreadMs = 0;
  retries = 0;
  failedCode = 0;
  /** Refusals in a row for want of a good token. */
  tokenRefusals = 0;
  /** Sent behind the welcome; its pong ends catching up and settling. 0: had. */
  welcomePing = 0;
  badMessages = 0;
  unackedMessages = 0;
  unackedBytes = 0;
  /** When acknowledgements are due; Infinity: nothing to acknowledge. */
  ackAt = Infinity;
  /** Output waits, and the socket has taken nothing since; Infinity: none waits. */
  outputFrom = Infinity;
  /** The last answer, or the first request without one; Infinity: none waits. */
  answerFrom = Infinity;
  /** Calls under way: an event is possible. */
  busy = 0;
  /* --- for the application --- */
  /** Say goodbye: the server forgets the session. `ended` follows, at the latest after two seconds. */
  close(now) {
    this.enter();
    this.closeWanted = true;
    this.leave(now);
  }
  get closing() {
    return this.state === "ended" || this.state === "closing" || this.closeWanted;
  }
  /** Whether nobody is looking: then delays after failures grow up to 300 s and not to 30 s. Coming to the foreground is a signal. */
  background(background, now) {
    this.enter();
    this.backoff.background(background);
    if (!background) this.signalled("foreground", now);
    this.leave(now);
  }
  /** Shown from now on; the connection that stands gets it too. */
  setToken(token, now) {
    if (!isHeaderToken(token, tokenMax)) return false;
    this.enter();
    this.token = token;
    if (isConnected(this.state)) this.put({ type: "refresh", token });
    this.leave(now);
    return true;
  }
  /** The network in use has this key; empty: not known. To be told before network() at each change. */
  setNetwork(key, now) {
    this.config.policy?.setNetwork?.(key, now);
    this.prober.abandon(now);
  }
  /** The policy was given another tolerance: the server is asked anew. */
  heartbeatChanged(now) {
    this.enter();
    if (isConnected(this.state)) this.putHeartbeat();
    this.leave(now);
  }
  /* --- signals --- */
  /**
   * Something on the way to the server changed, and this is how things stand now. It verifies a connection that stands, by a ping with a deadline of the round trip's size, and brings
   * a waiting attempt forward to within 100 ms; only where the server had named the time, to 30 s at the soonest.
   */
  network(facts2, now) {
    const back = this.offline && !facts2.offline;
    this.enter();
    this.offline = facts2.offline;
    this.disturbed(now);
    if (this.state === "waiting") {
      if (this.offline) this.goOffline(now);
      else this.bringForward("network_changed", now);
    } else if (this.state === "connecting") {
      this.networkOfAttempt(facts2, back, now);
    } else if (isConnected(this.state)) {
      this.networkOfConnected(facts2, back, now);
    } else if (this.state === "offline" && !this.offline) {
      this.attemptAt = Infinity;
      this.bringForward("network_changed", now);
      this.move("waiting", { cause: "network_changed" }, now);
    }
    this.leave(now);
  }
  /** The machine slept: a signal. */
  wokeUp(now) {
    this.enter();
    this.signalled("woke_up", now);
    this.leave(now);
  }
  /** The driver has closed all connections, because the page is left or frozen: that says nothing about the network. wokeUp() goes on. */
  suspended(evidence, now) {
    this.enter();
    this.disturbed(now);
    for (const slot of [0, 1]) this.lost(slot, evidence, now);
    this.leave(now);
  }
  /* --- for the driver --- */
  want(slot) {
    const link = this.link(slot);
    const wish = link.state === "idle" ? "none" : link.state === "dialing" ? "connect" : link.state === "closing" ? "close" : "carry";
    const isProbe = slot === probeSlot;
    return {
      wish,
      attempt: wish === "none" ? 0 : link.attempt,
      until: isProbe ? this.prober.at : this.attemptUntil,
      held: slot === this.next && this.nextHeld,
      closeCode: link.closeCode
    };
  }
  /** The wanted connection stands, and nothing has been said on it. */
  connected(slot, now) {
    if (slot === probeSlot) this.prober.connected();
    if (slot !== this.next || this.link(slot).state !== "dialing") return;
    this.enter();
    this.offline = false;
    this.link(slot).connected();
    if (this.nextHeld) this.attemptUntil = this.state === "doubtful" ? Infinity : now + spareMs;
    else this.requestUpgrade(now);
    this.leave(now);
  }
  /** Whether the request is to go out now on a connection that stands: carry, and it has not. */
  requestDue(slot) {
    return this.link(slot).state === "opening";
  }
  /** The subprotocols to ask for. From here on the server may have got them. */
  request(slot, now) {
    const link = this.link(slot);
    if (link.state === "dialing") {
      this.enter();
      if (slot !== probeSlot) this.publishing.saveAttempt(now);
      link.request();
      this.leave(now);
    }
    const list = this.config.codecs.map((codec) => codec.protocol);
    if (this.token !== null) list.push(`hf.token.${this.token}`);
    if (slot !== probeSlot && this.ticket !== "") list.push(`hf.resume.${this.ticket}`);
    if (slot !== probeSlot) list.push(`hf.attempt.${link.attempt}`);
    return list;
  }
  /** The upgrade was accepted, with this subprotocol. */
  opened(slot, protocol, now) {
    const link = this.link(slot);
    if (link.state !== "opening" && !(link.state === "dialing" && link.requested)) return;
    this.enter();
    const codec = this.config.codecs.find((kind) => kind.protocol === protocol);
    if (slot === probeSlot) {
      if (codec === void 0) this.prober.abandon(now);
      else this.prober.opened(codec);
    } else if (codec === void 0) {
      const names = this.config.codecs.map((kind) => kind.protocol).join(" or ");
      link.end(closeCodes.protocolError);
      this.attemptEnded(
        { cause: "protocol_error", evidence: `the server does not speak ${names}`, final: this.connections === 0 },
        now
      );
    } else {
      if (link.state === "dialing") this.offline = false;
      link.open(codec.create());
    }
    this.leave(now);
  }
  /** The answer was another than 101; status 0: it was no HTTP at all. */
  refused(slot, status, retryAfterS, now) {
    if (slot === probeSlot) {
      this.prober.abandon(now);
      return;
    }
    if (slot !== this.next) return;
    this.enter();
    const final = this.refusalIsFinal(status);
    this.link(slot).end();
    this.attemptEnded(
      {
        cause: retryAfterS > 0 ? "retry_after" : status === 0 ? "protocol_error" : "refused",
        httpStatus: status,
        minMs: retryAfterS * 1e3,
        final
      },
      now
    );
    this.leave(now);
  }
  /** What came in one WebSocket message. */
  message(slot, data, now) {
    const link = this.link(slot);
    if (link.state !== "open" || link.codec === null) return;
    this.enter();
    if (slot === this.live) this.received(now);
    for (const each of link.codec.decode(data)) {
      if (slot === probeSlot) this.prober.message(each, now);
      else this.obey(slot, each, now);
      if (link.state !== "open" || this.failed !== null) break;
    }
    this.leave(now);
  }
  /** The server closed the connection, with this code. */
  closed(slot, code, reason, now) {
    const link = this.link(slot);
    if (slot === probeSlot) {
      this.prober.lost(now);
      return;
    }
    if (link.state === "closing" || link.state === "idle") {
      link.drop();
      return;
    }
    this.enter();
    if (slot === this.live) this.received(now);
    if (link.state === "open") link.close(code);
    else link.end();
    this.onClosed(slot, code, reason, now);
    this.leave(now);
  }
  /** It could not be made, or has ended without a word. */
  lost(slot, evidence, now) {
    const link = this.link(slot);
    if (link.state === "idle") return;
    this.enter();
    if (slot === this.live) {
      this.heartbeat.lost(now);
      this.liveEnded({ cause: "connection_lost", evidence }, now);
    } else if (slot === this.next) {
      this.giveUpNext({ cause: "unreachable", evidence }, now);
    } else if (slot === probeSlot) {
      this.prober.lost(now);
    } else {
      link.drop();
    }
    this.leave(now);
  }
  /** What is to be sent. sent() tells when the socket has taken it. */
  output(slot, now) {
    const link = this.link(slot);
    this.enter();
    if (slot === this.live && isConnected(this.state)) this.publishing.put(now);
    if (slot === this.live && link.outBytes > 0 && this.outputFrom === Infinity) this.outputFrom = now;
    this.leave(now);
    return link.takeOutput();
  }
  /** The socket has taken so many bytes of the output. */
  sent(slot, bytes, now) {
    const link = this.link(slot);
    link.sent(bytes);
    if (slot !== this.live) return;
    if (bytes > 0) this.heartbeat.dataSent(now);
    this.outputFrom = link.outBytes > 0 ? now : Infinity;
    if (link.outBytes > 0) this.heartbeat.outputMoved(now);
  }
  /** The store has what it was last given, or has not. */
  saved(ok, now) {
    this.enter();
    this.publishing.saved(ok, now);
    this.leave(now);
  }
  /** Nothing more will be asked of it. */
  saveLast(now) {
    this.enter();
    this.publishing.saveLast(now);
    this.leave(now);
  }
  /** When to call tick(); Infinity: never. */
  deadline() {
    let at = this.prober.at;
    for (const link of this.links) at = Math.min(at, link.lingerUntil);
    if (this.state === "waiting" || this.state === "offline") at = Math.min(at, this.attemptAt);
    if (isConnected(this.state))
      at = Math.min(
        at,
        this.heartbeat.deadline(),
        this.ackAt,
        this.channels.syncUntil,
        this.channels.resubscribeAt,
        this.leaveAt,
        this.outputFrom + outputStuckMs,
        this.publishing.saveAgainAt,
        this.answerLateAt()
      );
    if (this.state === "closing") at = Math.min(at, this.closeUntil);
    if (this.next >= 0) at = Math.min(at, this.attemptUntil);
    return at;
  }
  tick(now) {
    this.enter();
    for (const link of this.links) if (link.state === "closing" && now >= link.lingerUntil) link.drop();
    if (this.next >= 0 && now >= this.attemptUntil) {
      if (this.nextHeld) this.dropNext();
      else this.giveUpNext({ cause: "timed_out" }, now);
    }
    if (isConnected(this.state)) this.tickLive(now);
    this.prober.tick(now);
    if (this.state === "closing" && now >= this.closeUntil) this.end({ cause: "closed", asked: true }, now);
    if ((this.state === "waiting" || this.state === "offline") && now >= this.attemptAt) this.startAttempt(false, now);
    this.leave(now);
  }
  /** After so much silence behind a ping a connection is dead; it follows the measured round trip. */
  hardMs() {
    return this.heartbeat.hardMs();
  }
  /* --- for the parts of the session --- */
  emit(event) {
    assert(this.busy > 0, "an event outside of a call");
    this.config.onEvent(event);
  }
  emitError(code, reason, channel = "") {
    this.emit({ type: "error", code, reason, channel });
  }
  /** The live connection must be ended after the call under way, with this close code. */
  fail(why, closeCode = closeCodes.policy) {
    if (this.failed !== null) return;
    this.failed = why;
    this.failedCode = closeCode;
  }
  enter() {
    this.busy++;
  }
  leave(now) {
    if (this.busy === 1) {
      if (this.failed !== null && this.live >= 0) this.endFailed(this.failed, now);
      if (this.closeWanted) this.beginClose(now);
      this.questions.tellLost();
      for (const link of this.links)
        link.lingerUntil = link.state !== "closing" ? Infinity : link.lingerUntil === Infinity ? now + lingerMs : link.lingerUntil;
    }
    this.busy--;
  }
  get hasNext() {
    return this.next >= 0;
  }
  /** Put a message into the live connection's output; does nothing where there is none. */
  put(message) {
    if (this.live >= 0) this.link(this.live).put(message);
  }
  get outBytes() {
    return this.live < 0 ? 0 : this.link(this.live).outBytes;
  }
  get liveCodec() {
    const codec = this.live < 0 ? null : this.link(this.live).codec;
    return codec === null ? void 0 : codec.kind;
  }
  putHeartbeat() {
    const interval = this.config.policy?.longestMs() ?? this.config.heartbeatIntervalMs;
    if (interval > 0 && interval !== this.heartbeat.serverIntervalMs) this.put({ type: "heartbeat", interval });
  }
  /** Something new was delivered, and is to be acknowledged in its time. */
  delivered(bytes, now) {
    this.unackedMessages++;
    this.unackedBytes += bytes;
    if (this.ackAt === Infinity) this.ackAt = now + ackDelayMs;
    if (this.unackedMessages >= ackMessages || this.unackedBytes >= ackBytes) this.putAcks(now);
  }
  get ackPlanned() {
    return this.ackAt !== Infinity;
  }
  /** A request waits for its answer. */
  awaitingAnswer(now) {
    if (this.answerFrom === Infinity) this.answerFrom = now;
  }
  /** One has been answered, and others, or none, wait. */
  answered(now) {
    const waits = this.publishing.outbox.written > 0 || this.channels.asked > 0 || this.questions.asked > 0;
    this.answerFrom = waits ? now : Infinity;
  }
  /** Something makes the connection doubtful: it is verified. Does nothing where there is none. */
  doubt(cause, now) {
    if (!isConnected(this.state)) return;
    if (this.state === "live") this.proofPing = this.heartbeat.pingId + (this.heartbeat.pingedAt === null ? 1 : 0);
    this.heartbeat.doubted();
    if (this.state === "live") this.move("doubtful", { cause }, now);
  }
  /* --- states --- */
  link(slot) {
    const link = this.links[slot];
    assert(link !== void 0, `there is no slot ${slot}`);
    return link;
  }
  /** Change the state, and tell: everything else has been set before. */
  move(to, why, now) {
    const from = this.state;
    assert(stateMayFollow(from, to), `a session cannot go from ${from} to ${to}`);
    this.state = to;
    this.check();
    this.emit({ type: "state", from, to, ...this.ending(why), delayMs: this.nextAttemptMs(now) });
  }
  /** What holds in each state. */
  check() {
    const lives = isConnected(this.state) || this.state === "closing";
    assert(lives === this.live >= 0, `${this.state} with a live slot ${this.live}`);
    if (this.state === "connecting") assert(this.next >= 0, "connecting without a connection");
    else if (!isConnected(this.state)) assert(this.next < 0, `${this.state} with a connection under way`);
    assert(this.next < 0 || this.next !== this.live, "one slot for two connections");
    assert(this.next >= 0 || !this.nextHeld, "nothing is held");
  }
  /** How long until the next attempt, as the state's change tells it. */
  nextAttemptMs(now) {
    if (this.state === "connecting") return 0;
    if (this.state !== "waiting" && this.state !== "offline") return null;
    return Math.max(0, this.attemptAt - now);
  }
  ending(why) {
    const { cause, evidence = causeTexts[cause], reason = "", closeCode = 0, httpStatus = 0 } = why;
    return { cause, evidence, reason, closeCode, httpStatus };
  }
  emitEnding(type, why, delayMs) {
    this.emit({ type, ...this.ending(why), delayMs, asked: why.asked === true });
  }
  /* --- attempts --- */
  freeSlot() {
    const [first, second] = this.links;
    let slot = this.live === 0 ? 1 : 0;
    if (this.live < 0 && first.state !== "idle" && second.state === "idle") slot = 1;
    this.link(slot).drop();
    return slot;
  }
  attemptMs() {
    return this.retries === 0 ? firstAttemptMs : nextAttemptMs;
  }
  /** Begin to make a connection; held: only prepare it, its upgrade waits for releaseNext(). */
  startAttempt(held, now) {
    this.next = this.freeSlot();
    this.nextHeld = held;
    this.attempts++;
    this.attemptFrom = now;
    this.attemptUntil = now + this.attemptMs();
    this.advice = null;
    this.link(this.next).dial(this.attempts);
    if (this.state === "waiting" || this.state === "offline") this.move("connecting", { cause: this.attemptCause }, now);
  }
  /** Whether a slot's request may have reached the server. */
  requestIsOut(slot) {
    return this.link(slot).requested;
  }
  /** `next` is not wanted any more. */
  dropNext() {
    const link = this.link(this.next);
    if (link.requested) this.givenUp = Math.max(this.givenUp, link.attempt);
    link.drop();
    this.next = -1;
    this.nextHeld = false;
  }
  end(why, now) {
    if (this.state === "closing") why = { cause: "closed", closeCode: closeCodes.normal, asked: true };
    if (this.next >= 0) this.dropNext();
    if (this.live >= 0 && this.link(this.live).state !== "closing") this.link(this.live).drop();
    this.live = -1;
    this.move("ended", why, now);
    this.emitEnding("ended", why, 0);
  }
  backoffCause(cause) {
    switch (cause) {
      case "unreachable":
      case "timed_out":
        return this.offline ? "signal" : "refused";
      case "network_changed":
      case "address_gone":
      case "woke_up":
      case "foreground":
        return "signal";
      case "heartbeat_missed":
      case "superseded":
        return "own";
      case "connection_lost":
      case "closed_by_server":
        return "loss";
      case "server_drain":
        return "advice";
      case "retry_after":
        return "retry";
      default:
        return "refused";
    }
  }
  /** Decide when the next attempt is made. */
  schedule(why, attemptFailed, now) {
    const { minMs = 0, maxMs = 0 } = why;
    const cause = this.backoffCause(why.cause);
    const end = { cause, attemptFailed, lossSpreadMs: this.lossSpreadMs, minMs, maxMs };
    this.attemptAt = now + this.backoff.ended(end, this.random, now);
    this.attemptCause = "due";
    this.toldUntil = cause === "advice" || cause === "retry" ? this.attemptAt : 0;
    if (this.leaveAt !== Infinity) this.attemptAt = this.toldUntil = Math.max(this.leaveAt, now);
    this.leaveAt = Infinity;
    if (this.offline) this.awaitNetwork(now);
  }
  waitingState() {
    return this.offline ? "offline" : "waiting";
  }
  /** `next` has failed. Its link is closing already, or is dropped here. */
  attemptEnded(why, now) {
    const link = this.link(this.next);
    if (link.state !== "closing") link.drop();
    this.next = -1;
    this.nextHeld = false;
    if (this.live >= 0) return;
    if (why.final === true) {
      this.end(why, now);
      return;
    }
    this.schedule(why, true, now);
    this.retries++;
    const delay = this.attemptAt - now;
    this.move(this.waitingState(), why, now);
    this.emitEnding("retrying", why, delay);
  }
  giveUpNext(why, now) {
    const link = this.link(this.next);
    if (link.requested) this.givenUp = link.attempt;
    this.attemptEnded(why, now);
  }
  /** The connection under way said something else than `welcome`. */
  failNext(evidence, now) {
    this.link(this.next).close(closeCodes.policy);
    this.attemptEnded({ cause: "protocol_error", evidence }, now);
  }
  requestUpgrade(now) {
    this.requestAt = now;
    this.link(this.next).request();
    this.publishing.saveAttempt(now);
  }
  /** The doubt about the live connection is confirmed: what was prepared is wanted now. */
  releaseNext(now) {
    if (this.next < 0 || !this.nextHeld) return;
    this.nextHeld = false;
    this.attemptUntil = now + this.attemptMs();
    if (this.link(this.next).state === "ready") this.requestUpgrade(now);
  }
  /* --- the live connection --- */
  /** Nothing of what was going on on a connection goes on. */
  resetConnection() {
    this.publishing.disconnected();
    this.questions.disconnected();
    this.channels.disconnected();
    this.greeting = false;
    this.welcomePing = 0;
    this.unackedMessages = 0;
    this.unackedBytes = 0;
    this.ackAt = Infinity;
    this.outputFrom = Infinity;
    this.answerFrom = Infinity;
    this.badMessages = 0;
    this.failed = null;
  }
  /** The live connection is no more. Its link is closing already, or is dropped here. */
  liveEnded(why, now) {
    const link = this.link(this.live);
    let delay = 0;
    if (link.state !== "closing") link.drop();
    this.resetConnection();
    this.prober.abandon(now);
    if (why.final === true || this.state === "closing") {
      this.end(why, now);
      return;
    }
    this.live = -1;
    this.retries = 0;
    if (this.next >= 0) {
      this.leaveAt = Infinity;
      this.move("connecting", why, now);
    } else {
      this.schedule(why, false, now);
      delay = this.attemptAt - now;
      this.move(this.waitingState(), why, now);
    }
    this.emitEnding("disconnected", why, delay);
    this.releaseNext(now);
  }
  /** `next` has got its welcome: it is the live one now. */
  adoptNext(now) {
    if (this.live >= 0) this.link(this.live).drop();
    this.live = this.next;
    this.next = -1;
    this.resetConnection();
    this.greeting = true;
    this.nextHeld = false;
    this.leaveAt = Infinity;
    this.toldUntil = 0;
    this.tokenRefusals = 0;
    this.connections++;
    this.backoff.connected(now);
    this.heartbeat.opened(now);
    if (this.config.splitDial) this.heartbeat.measured(now - this.requestAt);
    if (this.state !== "live") this.move("live", { cause: "welcomed" }, now);
  }
  beginClose(now) {
    this.closeWanted = false;
    if (this.state === "ended" || this.state === "closing") return;
    const why = { cause: "closed", asked: true };
    if (!isConnected(this.state)) {
      this.end(why, now);
      return;
    }
    if (this.next >= 0) this.dropNext();
    this.put({ type: "bye" });
    this.prober.abandon(now);
    this.closeUntil = now + byeMs;
    this.move("closing", why, now);
  }
  /** Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
  endFailed(evidence, now) {
    if (this.forgetSession) this.ticket = "";
    this.forgetSession = false;
    this.link(this.live).close(this.failedCode);
    this.liveEnded({ cause: "protocol_error", evidence }, now);
  }
  /* --- how connections end --- */
  /** 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more" (PROTOCOL.md "Close codes"). */
  supersededByOurselves(slot) {
    return this.next >= 0 && this.next !== slot && !this.nextHeld || this.givenUp > this.link(slot).attempt;
  }
  onClosed(slot, closeCode, reason, now) {
    let why = { ...closeMeaning(closeCode), closeCode, reason };
    if (why.cause === "superseded" && this.supersededByOurselves(slot)) why = { ...why, final: false };
    if (why.cause === "token_expired" && this.config.tokenSource) why = { ...why, final: ++this.tokenRefusals > 2 };
    if (slot === this.live) {
      if (closeCode === closeCodes.tooBig) this.publishing.refuseOldestLater();
      if (this.leaveAt !== Infinity && why.cause === "closed_by_server") why = { ...why, cause: "server_drain" };
      this.liveEnded(why, now);
    } else if (slot === this.next) {
      if (this.advice !== null) {
        const [minMs, maxMs] = this.advice;
        why = { ...why, cause: "server_drain", evidence: "the server asked to come back later", minMs, maxMs };
      }
      this.attemptEnded(why, now);
    }
  }
  /**
   * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a deployment than the truth. Where tokens can be
   * had, a 401 is worth two more.
   */
  refusalIsFinal(status) {
    if (status === 401 && this.config.tokenSource) return ++this.tokenRefusals > 2;
    if (status === 401 || status === 403) return true;
    return this.connections === 0 && (status === 400 || status === 404 || status === 426);
  }
  /* --- what the server says --- */
  received(now) {
    this.heartbeat.dataReceived(now);
    if (this.state !== "doubtful" || this.heartbeat.pingId < this.proofPing) return;
    if (this.nextHeld) this.attemptUntil = Math.min(this.attemptUntil, now + spareMs);
    this.move("live", { cause: "proven" }, now);
  }
  obey(slot, message, now) {
    if (message instanceof WrongKind) {
      this.link(slot).close(closeCodes.unsupported);
      const why = { cause: "protocol_error", evidence: message.reason, closeCode: closeCodes.unsupported };
      if (slot === this.live) this.liveEnded(why, now);
      else this.attemptEnded(why, now);
    } else if (slot === this.next) {
      this.obeyFirst(message, now);
    } else if (message instanceof BadMessage) {
      this.emitError("bad_message", message.reason);
      if (++this.badMessages >= badMessagesMax) this.fail("the server sends what cannot be understood");
    } else {
      this.obeyLive(message, now);
    }
  }
  /** "`welcome`: first message of every connection", or the advice to come later. */
  obeyFirst(message, now) {
    if (message instanceof BadMessage) this.failNext(message.reason, now);
    else if (message.type === "welcome") this.onWelcome(message, now);
    else if (message.type === "reconnect") this.advice = message.after;
    else this.failNext("the server's first message was no welcome", now);
  }
  obeyLive(message, now) {
    switch (message.type) {
      case "subscribed":
        return this.channels.onSubscribed(message, now);
      case "unsubscribed":
        return this.channels.onUnsubscribed(message, now);
      case "data":
        return this.channels.onData(message, now);
      case "gap":
        return this.channels.onGap(message, now);
      case "join":
      case "leave":
        return this.channels.onPresence(message);
      case "ack":
        return this.publishing.onAck(message, now);
      case "nack":
        return this.publishing.onNack(message, now);
      case "ping":
        return this.putPong();
      case "pong":
        return this.onPong(message, now);
      case "heartbeat":
        return this.heartbeat.setInterval(message.interval);
      case "reconnect":
        return this.onReconnect(message, now);
      case "history":
      case "presence":
      case "reply":
        this.questions.onAnswer(message, now);
        return;
      case "error":
        if (message.code === "bad_seq") this.publishing.onBadSeq(message);
        else if (!this.channels.onError(message, now) && !this.questions.onError(message, now))
          this.emitError(message.code, message.reason, message.channel);
        return;
      case "welcome":
        return;
    }
  }
  onWelcome(welcome, now) {
    const resumed = welcome.resumed && this.ticket !== "";
    if (!isHeaderToken(welcome.ticket, ticketMax2) || !isLabel(welcome.session)) {
      this.failNext("the server's ticket cannot be used", now);
      return;
    }
    this.ticket = welcome.ticket;
    this.id = welcome.session;
    this.lossSpreadMs = welcome.lossSpread;
    this.publishing.payloadBytesMax = welcome.maxMessage;
    this.heartbeat.setInterval(welcome.heartbeat.interval);
    this.config.policy?.setBound?.(welcome.heartbeat.max);
    this.adoptNext(now);
    this.emitConnected(resumed, welcome);
    if (!resumed) this.publishing.renewed(welcome.lastSeq ?? null, now);
    else if (!this.publishing.resumed(welcome.lastSeq ?? null)) return;
    if (resumed) {
      for (const at of welcome.channels) if (this.failed === null) this.channels.named(at, now);
    }
    if (this.failed !== null) return;
    this.channels.sort();
    this.greeting = false;
    this.speakFirst(now);
  }
  emitConnected(resumed, welcome) {
    const retries = this.retries;
    this.retries = 0;
    this.caughtUpCount = 0;
    const encoding = this.liveCodec?.encoding ?? "json";
    this.emit({ type: "connected", resumed, session: this.id, retries, address: welcome.address, encoding });
  }
  /** What is said first: requests without an answer, and the ping whose pong ends the catching up. */
  speakFirst(now) {
    this.putHeartbeat();
    this.channels.putRequests(now);
    this.questions.put(now);
    this.heartbeat.doubted();
    if (this.heartbeat.tick(now) === "ping") this.put({ type: "ping", id: `${this.heartbeat.pingId}` });
    this.welcomePing = this.heartbeat.pingId;
  }
  onPong(message, now) {
    if (this.questions.onAnswer(message, now)) return;
    if (message.id === void 0 || !/^(0|[1-9]\d{0,15})$/.test(message.id)) return;
    const pingId = Number(message.id);
    this.heartbeat.pongReceived(pingId, now);
    this.prober.networkGood(now);
    if (this.welcomePing !== 0 && pingId === this.welcomePing) this.caughtUp(now);
  }
  caughtUp(now) {
    this.welcomePing = 0;
    if (this.inherited) {
      this.inherited = false;
      this.channels.putRequests(now);
    }
    this.publishing.settled(now);
    this.emit({ type: "caughtUp", count: this.caughtUpCount });
  }
  /** "leave this connection at a random time in that window" (PROTOCOL.md, reconnect). */
  onReconnect(message, now) {
    const min = Math.min(message.after[0], backoffAdviceMsMax);
    const max = Math.min(message.after[1], backoffAdviceMsMax);
    this.heartbeat.disturbed();
    this.leaveAt = now + min + this.random.below(Math.max(0, max - min) + 1);
  }
  /* --- what is said to it --- */
  hasRoom() {
    return this.live >= 0 && this.outBytes < optionalBelowBytes;
  }
  acksFlushed(all) {
    this.unackedMessages = 0;
    this.unackedBytes = 0;
    if (all) this.ackAt = Infinity;
  }
  putAcks(now) {
    for (const [channel, offset] of this.channels.acksDue(() => this.hasRoom())) this.put({ type: "ack", channel, offset });
    if (this.hasRoom()) this.acksFlushed(true);
    else this.ackAt = now + ackDelayMs;
  }
  /** "answer to a heartbeat, with acks on board" (PROTOCOL.md, pong). */
  putPong() {
    if (!this.hasRoom()) return;
    if (this.ackAt === Infinity) {
      this.put({ type: "pong" });
      return;
    }
    const acks = [...this.channels.acksDue((count) => count < acksOfPongMax)];
    this.acksFlushed(acks.length < acksOfPongMax);
    this.put({ type: "pong", acks });
  }
  /* --- time --- */
  /** When the oldest request has waited so long for its answer that the path is doubtful. */
  answerLateAt() {
    return this.answerFrom + this.heartbeat.softMs();
  }
  tickLive(now) {
    if (now >= this.answerLateAt()) {
      this.heartbeat.answerLate(this.answerFrom);
      this.answerFrom = now;
      this.doubt("answer_late", now);
    }
    if (now >= this.outputFrom + outputStuckMs) {
      this.outputFrom = now;
      this.doubt("output_stuck", now);
    }
    if (now >= this.ackAt) this.putAcks(now);
    this.channels.tick(now);
    if (now >= this.publishing.saveAgainAt) this.publishing.save(now);
    if (now >= this.leaveAt) {
      this.leaveAt = Infinity;
      if (this.next < 0) this.startAttempt(false, now);
      else this.releaseNext(now);
    }
    this.tickHeartbeat(now);
  }
  tickHeartbeat(now) {
    const due = this.heartbeat.tick(now);
    if (due === "ping") this.put({ type: "ping", id: `${this.heartbeat.pingId}` });
    else if (due === "suspect") this.suspect(now);
    else if (due === "dead") this.liveEnded({ cause: "heartbeat_missed" }, now);
  }
  /* --- doubts and signals --- */
  /** "Rate-limit: 3 pre-dials/min": each costs the server an accept, and a handshake of TLS. */
  mayPrepare(now) {
    this.prepared = this.prepared.filter((at) => now - at < preparedMs);
    if (this.prepared.length >= preparedMax) return false;
    this.prepared.push(now);
    return true;
  }
  /** The soft deadline of a heartbeat has passed. */
  suspect(now) {
    if (this.next < 0 && !this.offline && this.mayPrepare(now)) this.startAttempt(true, now);
    else if (this.nextHeld && this.link(this.next).state === "ready") this.attemptUntil = Infinity;
    this.doubt("heartbeat_late", now);
  }
  /**
   * waiting: the attempt is made at once. Where the server had named a time it still holds, but not for long: it may not have been the server, but something on the network
   * that was.
   */
  bringForward(cause, now) {
    let at = now + signalDelay(this.random);
    this.toldUntil = Math.min(this.toldUntil, now + backoffCapMs);
    at = Math.max(at, this.toldUntil);
    if (at >= this.attemptAt) return;
    this.attemptAt = at;
    this.attemptCause = cause;
  }
  /** connecting: an attempt without an answer is made anew. */
  redial(cause, now) {
    if (this.link(this.next).state === "dialing" && now - this.attemptFrom >= redialMs2) this.giveUpNext({ cause }, now);
  }
  /** What was measured, or is being measured, says nothing about what is now. */
  disturbed(now) {
    this.heartbeat.disturbed();
    this.prober.abandon(now);
  }
  /** The next attempt is a probe. */
  awaitNetwork(now) {
    const spread = this.random.below(backoffRandomMsMax + 1);
    this.attemptAt = Math.max(now + offlineProbeMs + spread, this.toldUntil);
    this.attemptCause = "probe";
  }
  /** A first attempt is made whatever the system says: it may be to this machine. */
  goOffline(now) {
    if (this.attempts === 0) return;
    this.awaitNetwork(now);
    this.move("offline", { cause: "offline" }, now);
  }
  /**
   * Whether `next` is of no use: nothing can arrive on it, or its packets went out on a way that may not be the way any more. Once its request is out the latter does not count: the
   * server could take it after the new one, and the session would be superseded by itself. It has its deadline.
   */
  nextIsUseless(facts2, back) {
    if (this.next < 0) return false;
    const path = facts2.paths[this.next] ?? "same";
    if (this.requestIsOut(this.next)) return path === "gone";
    return back || path !== "same";
  }
  /** Make, or go on to make, the connection that shall follow. This is knowledge and no doubt: no bound of what is made ahead holds. */
  makeNext(useless, now) {
    if (this.next >= 0 && !useless) {
      this.releaseNext(now);
      return;
    }
    if (this.next >= 0) this.dropNext();
    this.startAttempt(false, now);
  }
  networkOfConnected(facts2, back, now) {
    const path = facts2.paths[this.live] ?? "same";
    let useless = this.nextIsUseless(facts2, back);
    if (useless && (this.nextHeld || path === "gone")) {
      this.dropNext();
      useless = false;
    }
    if (path === "gone") {
      this.liveEnded({ cause: "address_gone" }, now);
      return;
    }
    this.doubt(facts2.offline ? "offline" : "network_changed", now);
    if (!facts2.offline && (path === "moved" || back || useless)) this.makeNext(useless, now);
  }
  networkOfAttempt(facts2, back, now) {
    const requestIsOut = this.requestIsOut(this.next);
    if (facts2.paths[this.next] === "gone" && (requestIsOut || facts2.offline)) {
      this.giveUpNext({ cause: "address_gone" }, now);
    } else if (facts2.offline) {
      return;
    } else if (this.nextIsUseless(facts2, back)) {
      this.dropNext();
      this.startAttempt(false, now);
    } else {
      this.redial("network_changed", now);
    }
  }
  signalled(cause, now) {
    this.disturbed(now);
    if (this.state === "waiting" && !this.offline) this.bringForward(cause, now);
    else if (this.state === "connecting") this.redial(cause, now);
    else if (isConnected(this.state)) {
      if (this.nextHeld) this.dropNext();
      this.doubt(cause, now);
    }
  }
};

// src/driver.ts
var lateMs = 500;
var graceMs = 50;
var sleptMs = 3e3;
var sleptHiddenMs = 75e3;
var drainMs = 50;
var Driver = class {
  constructor(options, config) {
    this.options = options;
    const { platform } = options;
    this.isBackground = config.background;
    this.session = new Session(config, platform.now());
    if (!platform.online()) this.session.network({ offline: true, paths: ["same", "same", "same"] }, platform.now());
    this.unwatch = platform.watch({
      network: (online, moved) => this.run((now) => this.session.network(facts(online, moved), now)),
      background: (background) => this.background(background),
      wokeUp: () => this.wakeUp(),
      leaving: () => this.fallAsleep()
    });
  }
  session;
  slots = [0, 1, 2].map(() => ({
    connection: null,
    attempt: 0,
    opened: false,
    handed: 0,
    told: 0
  }));
  depth = 0;
  pumpPlanned = false;
  cancelTimer = null;
  /** For when the timer is set. */
  timerAt = Infinity;
  graced = false;
  /** The page is left: no connection is made. */
  asleep = false;
  /** start() was called; before that no time passes for the session. */
  started = false;
  isBackground;
  urlIndex = 0;
  unwatch;
  get url() {
    return this.options.urls[this.urlIndex] ?? "";
  }
  /** "An attempt that fails moves on to the next one … a broken connection is tried again where it was, first" (holdfast.h, urls). */
  nextUrl() {
    this.urlIndex = (this.urlIndex + 1) % this.options.urls.length;
  }
  /** Call the session, then do what it wishes. */
  run(call2) {
    this.depth++;
    try {
      return call2(this.options.platform.now());
    } finally {
      this.depth--;
      if (this.depth === 0) this.pump();
    }
  }
  /** The same for calls of the application's, of which more may follow at once: what they have to send goes out together. */
  soon(call2) {
    this.depth++;
    try {
      return call2(this.options.platform.now());
    } finally {
      this.depth--;
      if (this.depth === 0 && !this.pumpPlanned) {
        this.pumpPlanned = true;
        queueMicrotask(() => {
          this.pumpPlanned = false;
          if (this.depth === 0) this.pump();
        });
      }
    }
  }
  /** Connections may be made. */
  start() {
    if (this.started) return;
    this.started = true;
    this.soon(() => void 0);
  }
  background(background) {
    this.isBackground = background;
    this.options.backgroundChanged(background);
    this.run((now) => this.session.background(background, now));
  }
  /** The session has ended, and its last connection may still be closing. */
  release() {
    this.unwatch();
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.timerAt = Infinity;
  }
  /* --- wishes --- */
  pump() {
    if (!this.started && this.session.state !== "ended") return;
    this.depth++;
    const now = this.options.platform.now();
    if (this.session.deadline() <= 0) this.session.tick(now);
    for (let slot = 0; slot < this.slots.length; slot++) this.obey(slot, now);
    this.depth--;
    if (this.session.state === "ended" && this.slots.every((slot) => slot.connection === null)) this.release();
    else this.arm(now);
  }
  obey(slot, now) {
    const place = this.slots[slot];
    const want = this.session.want(slot);
    if (place.connection !== null && place.attempt !== want.attempt) {
      place.connection.close();
      place.connection = null;
    }
    if (want.wish === "connect" && !want.held && place.connection === null && !this.asleep && !this.options.tokenMissing())
      this.open(slot, place, want.attempt, now);
    else if (want.wish === "carry") this.carry(slot, place, now);
    else if (want.wish === "close") {
      this.carry(slot, place, now);
      place.connection?.close(want.closeCode === 0 || want.closeCode === 1005 || want.closeCode === 1006 ? void 0 : want.closeCode);
      place.connection = null;
      this.session.lost(slot, "closed", now);
    }
  }
  open(slot, place, attempt, now) {
    const { url } = this;
    const mine = () => place.connection !== null && place.attempt === attempt;
    place.attempt = attempt;
    place.opened = false;
    place.handed = place.told = 0;
    place.connection = this.options.transport.open(
      { url, protocols: this.session.request(slot, now) },
      {
        opened: (protocol) => {
          if (!mine()) return;
          place.opened = true;
          this.run((at) => this.session.opened(slot, protocol, at));
        },
        message: (data) => {
          if (mine())
            this.run((at) => this.session.message(slot, typeof data === "string" ? data : new Uint8Array(data), at));
        },
        refused: (status, retryAfter2) => {
          if (!mine()) return;
          place.connection = null;
          this.options.refused(status);
          this.run((at) => this.session.refused(slot, status, retryAfter2, at));
        },
        closed: (code, reason) => {
          if (!mine()) return;
          place.connection = null;
          this.run((at) => {
            if (!place.opened) this.session.lost(slot, `${url} could not be reached${reason === "" ? "" : `: ${reason}`}`, at);
            else if (code === 1006) this.session.lost(slot, reason === "" ? "the connection ended without a word" : reason, at);
            else this.session.closed(slot, code, reason, at);
          });
        }
      }
    );
  }
  /** Give the connection what there is to send, and tell the session what it has taken. */
  carry(slot, place, now) {
    const { connection } = place;
    if (connection === null || !place.opened) return;
    this.tellTaken(slot, place, connection, now);
    for (const frame of this.session.output(slot, now)) {
      place.handed += frame.bytes;
      connection.send(frame.data);
    }
    this.tellTaken(slot, place, connection, now);
  }
  tellTaken(slot, place, connection, now) {
    const taken = Math.max(place.told, place.handed - connection.bufferedAmount);
    if (taken === place.told) return;
    this.session.sent(slot, taken - place.told, now);
    place.told = taken;
  }
  /* --- time --- */
  arm(now) {
    if (this.graced) return;
    let at = this.session.deadline();
    if (this.slots.some((slot) => slot.connection !== null && slot.handed > slot.told)) at = Math.min(at, now + drainMs);
    if (at >= this.timerAt && this.cancelTimer !== null) return;
    this.setTimer(at, now);
  }
  setTimer(at, now) {
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.timerAt = at;
    if (at === Infinity) return;
    this.cancelTimer = this.options.platform.timer(Math.max(0, at - now), () => this.timerFired());
  }
  timerFired() {
    const now = this.options.platform.now();
    const late = now - this.timerAt;
    this.cancelTimer = null;
    if (!this.graced && late > lateMs) {
      this.graced = true;
      this.setTimer(now + graceMs, now);
      if (late > (this.isBackground ? sleptHiddenMs : sleptMs)) this.run((at) => this.session.wokeUp(at));
      return;
    }
    this.graced = false;
    this.timerAt = Infinity;
    this.run((at) => {
      if (at >= this.session.deadline()) this.session.tick(at);
    });
  }
  /* --- the page --- */
  fallAsleep() {
    if (this.asleep) return;
    this.asleep = true;
    this.options.leaving();
    for (const place of this.slots) {
      place.connection?.close();
      place.connection = null;
    }
    this.run((now) => this.session.suspended("the page was left", now));
  }
  wakeUp() {
    this.asleep = false;
    this.run((now) => this.session.wokeUp(now));
  }
};
function facts(online, moved) {
  const path = moved ? "moved" : "same";
  return { offline: !online, paths: [path, path, path] };
}

// src/emitter.ts
var Emitter = class {
  handlers = /* @__PURE__ */ new Map();
  on(event, handler) {
    const set = this.handlers.get(event) ?? /* @__PURE__ */ new Set();
    const own = (value) => handler(value);
    this.handlers.set(event, set.add(own));
    return () => void set.delete(own);
  }
  /** Whether anybody listens. */
  has(event) {
    return (this.handlers.get(event)?.size ?? 0) > 0;
  }
  emit(event, value) {
    for (const handler of [...this.handlers.get(event) ?? []]) call(handler, value);
  }
};
function call(handler, value) {
  try {
    handler(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

// src/network_key.ts
var notPublic = /^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.|^(::1?$|f[cd]|fe[89ab])/i;
function prefixOf(address) {
  const bare = address.startsWith("[") ? address.slice(1, address.indexOf("]")) : address;
  if ((bare.match(/:/g) ?? []).length < 2) return bare.split(":")[0] ?? "";
  const [before = ""] = bare.split("::");
  const groups = before.split(":").filter((group) => group !== "");
  if (bare.includes("::")) while (groups.length < 4) groups.push("0");
  return groups.slice(0, 4).join(":");
}
function hash(text2, basis) {
  let value = basis;
  for (let i = 0; i < text2.length; i++) value = Math.imul(value ^ text2.charCodeAt(i), 16777619);
  return (value >>> 0).toString(16).padStart(8, "0");
}
function networkKey(kind, address) {
  if (address === "" || notPublic.test(address.replace("[", ""))) return "";
  const text2 = `${kind} ${prefixOf(address)}`;
  return hash(text2, 2166136261) + hash(text2, 374761393);
}

// src/queue.ts
function range(item) {
  if (item.type === "message") return [item.offset, item.offset];
  return item.from === null || item.to === null ? null : [item.from, item.to];
}
var DeliveryQueue = class {
  /** onEnd: nobody asks any more. */
  constructor(options, onEnd) {
    this.onEnd = onEnd;
    this.limit = options.limit ?? 1e3;
    this.fails = options.overflow === "fail";
    if (!Number.isSafeInteger(this.limit) || this.limit < 1) throw new HoldfastError("invalid", '"limit" is no number from 1 on');
    if (options.signal?.aborted === true) this.end();
    else options.signal?.addEventListener("abort", () => this.end(), { once: true });
  }
  items = [];
  head = 0;
  /** Dropped since the loop took something; it comes before what is left. */
  dropped = null;
  waiting = [];
  over = false;
  /** Told once, behind what is left. */
  error = null;
  limit;
  fails;
  push(item) {
    if (this.over) return;
    const first = this.waiting.shift();
    if (first !== void 0) {
      first.resolve({ done: false, value: item });
      return;
    }
    this.items.push(item);
    if (this.items.length - this.head <= this.limit) return;
    if (this.fails) {
      this.items = [];
      this.head = 0;
      this.end(new HoldfastError("overflow", `the loop over "${item.channel}" is ${this.limit} messages behind: make it faster, or raise "limit"`));
    } else {
      this.drop(this.take());
    }
  }
  /** What is left is still given. */
  end(error = null) {
    if (this.over) return;
    this.over = true;
    this.error = error;
    this.onEnd();
    for (const each of this.waiting.splice(0)) this.finish(each);
  }
  next() {
    const item = this.dropped ?? this.take();
    if (this.dropped !== null) this.dropped = null;
    if (item !== void 0) return Promise.resolve({ done: false, value: item });
    return new Promise((resolve, reject) => {
      if (this.over) this.finish({ resolve, reject });
      else this.waiting.push({ resolve, reject });
    });
  }
  return() {
    this.items = [];
    this.head = 0;
    this.dropped = null;
    this.end();
    return Promise.resolve({ done: true, value: void 0 });
  }
  [Symbol.asyncIterator]() {
    return this;
  }
  finish(each) {
    const { error } = this;
    this.error = null;
    if (error === null) each.resolve({ done: true, value: void 0 });
    else each.reject(error);
  }
  take() {
    const item = this.items[this.head];
    if (item === void 0) return void 0;
    this.head++;
    if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
  /** A gap grows over what is dropped; a new epoch begins another, and what was missing of the old one goes with it. */
  drop(item) {
    if (item === void 0) return;
    const { channel, epoch } = item;
    const span = range(item);
    if (span === null) {
      this.dropped = item;
      return;
    }
    const [from, to] = span;
    const before = this.dropped;
    if (before === null) this.dropped = { type: "gap", channel, epoch, from, to, code: "overflow" };
    else if (before.from !== null) this.dropped = { ...before, to };
    else this.dropped = { ...before, to: null };
  }
};

// src/subscription.ts
var ChannelSubscription = class {
  constructor(channel, options, owner) {
    this.channel = channel;
    this.options = options;
    this.owner = owner;
    this.position = options.since ?? null;
  }
  state = "pending";
  position = null;
  /** unsubscribe() was called: nothing is told any more but the end. */
  leaving = false;
  emitter = new Emitter();
  queues = /* @__PURE__ */ new Set();
  ends = [];
  began = null;
  ended = null;
  on(event, handler) {
    return this.emitter.on(event, handler);
  }
  ready() {
    if (this.began !== null) return Promise.resolve(this.began);
    return new Promise((resolve, reject) => {
      if (this.ended !== null) reject(endError(this.channel, this.ended));
      const offs = [
        this.on("subscribed", (event) => {
          for (const off of offs) off();
          resolve(event);
        }),
        this.on("unsubscribed", (event) => reject(endError(this.channel, event)))
      ];
    });
  }
  unsubscribe() {
    if (this.state === "ended") return Promise.resolve();
    return new Promise((resolve) => {
      this.ends.push(resolve);
      if (this.leaving) return;
      this.leaving = true;
      for (const queue of [...this.queues]) queue.end();
      this.owner.unsubscribe(this.channel);
    });
  }
  iterate(options = {}) {
    const queue = new DeliveryQueue(options, () => this.queues.delete(queue));
    if (this.state === "ended" || this.leaving) queue.end(this.ended?.error ?? null);
    else this.queues.add(queue);
    return queue;
  }
  [Symbol.asyncIterator]() {
    return this.iterate();
  }
  publish(payload, options) {
    return this.owner.publish(this.channel, payload, options);
  }
  history(options) {
    return this.owner.history(this.channel, options);
  }
  presence() {
    return this.owner.presence(this.channel);
  }
  /* --- told by the client --- */
  subscribed(event) {
    this.state = "active";
    this.began = event;
    this.position = { epoch: event.epoch, offset: event.offset };
    this.emitter.emit("subscribed", event);
  }
  message(message) {
    if (this.leaving) return;
    this.position = { epoch: message.epoch, offset: message.offset };
    for (const queue of [...this.queues]) queue.push(message);
    this.emitter.emit("message", message);
  }
  /** Whether anybody was there to hear it. */
  gap(gap) {
    if (this.leaving) return true;
    this.position = { epoch: gap.epoch, offset: gap.to ?? 0 };
    const heard = this.queues.size > 0 || this.emitter.has("gap");
    for (const queue of [...this.queues]) queue.push(gap);
    this.emitter.emit("gap", gap);
    return heard;
  }
  presenceChanged(kind, event) {
    if (!this.leaving) this.emitter.emit(kind, event);
  }
  unsubscribed(error) {
    if (this.state === "ended") return;
    const event = error === void 0 ? { channel: this.channel } : { channel: this.channel, error };
    this.state = "ended";
    this.ended = event;
    for (const queue of [...this.queues]) queue.end(error ?? null);
    this.emitter.emit("unsubscribed", event);
    for (const resolve of this.ends.splice(0)) resolve();
  }
};
function endError(channel, event) {
  return event.error ?? new HoldfastError("closed", `the subscription to "${channel}" was ended before it began`);
}
function serverError(code, reason) {
  return new HoldfastError(errorCode(code), reason === "" ? `the server says: ${code}` : reason, code);
}
function gapCode(code) {
  return Object.hasOwn(gapNumbers, code) ? code : "unknown";
}

// src/tokens.ts
var marginMs = 5e3;
var renewBeforeMs = 3e4;
function tokenEnd(token) {
  try {
    const body = token.split(".")[1] ?? "";
    const claims = JSON.parse(atob(body.replaceAll("-", "+").replaceAll("_", "/")));
    const exp = typeof claims === "object" && claims !== null && "exp" in claims ? claims.exp : void 0;
    return typeof exp === "number" ? exp * 1e3 : Infinity;
  } catch {
    return Infinity;
  }
}
var Tokens = class {
  constructor(token, source) {
    this.source = source;
    this.have = token !== void 0;
    if (token !== void 0) this.end = tokenEnd(token);
  }
  end = Infinity;
  have;
  reason = "first";
  asking = false;
  /** Whether one must be asked for before the next attempt. */
  missing(unix) {
    if (this.source === void 0) return false;
    if (this.have && unix < this.end - marginMs) return false;
    if (this.have) this.expired();
    return true;
  }
  /** The server does not take it any more. */
  expired() {
    this.have = false;
    this.reason = "expired";
  }
  taken(token) {
    this.have = true;
    this.end = tokenEnd(token);
  }
  /** When one must be asked for so that the connection need not break for it, as Unix time; Infinity: never. */
  renewAt(unix) {
    if (this.source === void 0 || this.end === Infinity) return Infinity;
    return Math.max(unix, this.end - renewBeforeMs);
  }
  /** Ask, unless that is under way. Never rejects. */
  ask(renewal, done, failed) {
    const { source } = this;
    if (source === void 0 || this.asking) return;
    this.asking = true;
    void new Promise((resolve) => resolve(source(renewal ? "renewal" : this.reason))).then(
      (token) => {
        this.asking = false;
        this.taken(token);
        done(token);
      },
      (error) => {
        this.asking = false;
        failed(error);
      }
    );
  }
};

// src/holdfast.ts
var memorySaveMs = 1e4;
var urlsMax = 8;
function invalid(text2) {
  return new HoldfastError("invalid", text2);
}
function checkUrls(url) {
  const urls = typeof url === "string" ? [url] : url;
  if (urls.length === 0 || urls.length > urlsMax) throw invalid(`1 to ${urlsMax} URLs can be given, and these are ${urls.length}`);
  for (const each of urls)
    if (!/^wss?:\/\/[^/?#\s]+/i.test(each)) throw invalid(`"${each}" is no URL of a server: ws://HOST[:PORT]/PATH or wss://\u2026 is`);
  return urls;
}
function checkBound(name, value, otherwise, min, max) {
  if (value === void 0) return otherwise;
  if (!Number.isFinite(value) || value < min || value > max) throw invalid(`"${name}" is no number from ${min} to ${max}`);
  return Math.floor(value);
}
function codecsOf(encoding = "auto") {
  switch (encoding) {
    case "auto":
    case "json":
      return [jsonCodec];
    default:
      throw invalid('"encoding" is none of "auto", "binary" and "json"');
  }
}
function rawPayload(payload) {
  if (payload instanceof Uint8Array) return payload.slice();
  let text2;
  try {
    text2 = JSON.stringify(payload);
  } catch (error) {
    throw invalid(`the payload cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text2 === void 0) throw invalid("the payload cannot be written as JSON: undefined, functions and symbols have no form there");
  return text2;
}
function messageOf(epoch, { channel, offset, id, payload, timestamp, from }) {
  const common = { type: "message", channel, epoch, offset, id, payload, timestamp };
  return from === void 0 ? common : { ...common, from };
}
var HoldfastClient = class {
  constructor(url, options, platform) {
    this.options = options;
    this.platform = platform;
    const urls = checkUrls(url);
    const { token, heartbeat = "adaptive" } = options;
    if (token !== void 0 && !isHeaderToken(token, 4096))
      throw invalid('"token" is none: letters, digits and !#$%&\'*+-.^_`|~ can stand in it, at most 4,096 of them');
    this.tokens = new Tokens(token, options.getToken);
    this.tolerance = checkBound("tolerance", options.tolerance, toleranceForegroundMs, 1, toleranceMsMax);
    this.backgroundTolerance = checkBound("backgroundTolerance", options.backgroundTolerance, toleranceIdleMs, 1, toleranceMsMax);
    this.requestTimeout = checkBound("requestTimeout", options.requestTimeout, 3e4, 0, 864e5);
    this.isBackground = options.background ?? platform.background();
    this.isStarted = options.autoConnect !== false;
    this.hasStore = options.storage?.outbox !== void 0;
    if (!["adaptive", "classic", "fixed"].includes(heartbeat)) throw invalid('"heartbeat" is none of "adaptive", "classic" and "fixed"');
    const interval = checkBound("heartbeatInterval", options.heartbeatInterval, 0, 0, toleranceMsMax);
    const random = randomFrom(() => platform.random());
    if (interval === 0 && heartbeat === "adaptive") {
      this.loadMemory();
      this.adaptive = new AdaptiveHeartbeat(this.currentTolerance(), this.memory, random);
    }
    const config = (stored, store) => ({
      codecs: codecsOf(options.encoding),
      token: token ?? null,
      tokenSource: options.getToken !== void 0,
      outboxMessages: checkBound("outboxMessages", options.outboxMessages, 1e4, 1, 2 ** 31),
      outboxBytes: checkBound("outboxBytes", options.outboxBytes, 16 * 1024 * 1024, 1, 2 ** 30),
      window: checkBound("window", options.window, 1e3, 1, 2 ** 31),
      subscriptions: checkBound("subscriptions", options.subscriptions, 256, 0, 1e5),
      heartbeatIntervalMs: interval,
      policy: this.adaptive ?? (interval === 0 && heartbeat === "classic" ? new ClassicHeartbeat() : null),
      background: this.isBackground,
      random,
      splitDial: false,
      store,
      stored,
      onEvent: (event) => this.onEvent(event)
    });
    const transport = options.transport ?? platform.transport();
    const make = (stored, store) => this.begin(urls, transport, config(stored, store));
    if (options.storage?.outbox === void 0) make(null, null);
    else this.loadOutbox(options.storage.outbox, make);
  }
  emitter = new Emitter();
  subscriptions = /* @__PURE__ */ new Map();
  /** Subscribed to anew while the channel's last subscription is not over yet. */
  following = /* @__PURE__ */ new Map();
  publishes = /* @__PURE__ */ new Map();
  requests = /* @__PURE__ */ new Map();
  connectedWaiters = [];
  closeWaiters = [];
  tokens;
  memory = new HeartbeatMemory();
  memorySavedAt = -Infinity;
  adaptive = null;
  tolerance;
  backgroundTolerance;
  isBackground;
  requestTimeout;
  hasStore;
  cancelRenewal = () => void 0;
  /** null: the outbox is being read, and what is called waits in `early`. */
  driver = null;
  early = [];
  isStarted;
  /** The outbox could not be read, or the client was closed before it was. */
  stillborn = false;
  /* --- what the application reads --- */
  get state() {
    return this.driver?.session.state ?? (this.stillborn ? "ended" : "waiting");
  }
  get session() {
    return this.driver?.session.id ?? "";
  }
  get unanswered() {
    return this.driver?.session.publishing.outbox.count ?? 0;
  }
  on(event, handler) {
    return this.emitter.on(event, handler);
  }
  onState(handler) {
    return this.on("state", handler);
  }
  /* --- what it asks for --- */
  connect() {
    this.isStarted = true;
    this.driver?.start();
  }
  connected() {
    if (isConnected(this.state)) return Promise.resolve();
    if (this.state === "ended") return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.connectedWaiters.push({ resolve, reject }));
  }
  subscribe(channel, first, second) {
    const options = typeof first === "function" ? {} : first ?? {};
    const onMessage = typeof first === "function" ? first : second;
    const last = this.subscriptions.get(channel);
    const subscription = new ChannelSubscription(channel, options, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishTo(name, payload, how),
      history: (name, what) => this.historyOf(name, what),
      presence: (name) => this.presence(name)
    });
    const kept = subscription;
    if (last?.leaving === true && !this.following.has(channel)) {
      this.following.set(channel, kept);
    } else {
      if (last !== void 0)
        throw new HoldfastError("exists", `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
      if (this.driver === null) this.checkEarly(channel);
      else this.driver.soon((now) => this.driver?.session.channels.subscribe(channel, options, now));
      this.subscriptions.set(channel, kept);
      if (this.driver === null) this.later(() => this.follow(kept));
    }
    if (onMessage !== void 0) subscription.on("message", onMessage);
    return subscription;
  }
  subscription(channel) {
    const found = this.following.get(channel) ?? this.subscriptions.get(channel);
    return found === void 0 || found.leaving ? void 0 : found;
  }
  publish(channel, payload, options) {
    return this.publishTo(channel, payload, options);
  }
  history(channel, options) {
    return this.historyOf(channel, options);
  }
  presence(channel) {
    if (!isChannelName(channel)) return Promise.reject(invalid(`"${channel}" names no channel`));
    return this.ask({ type: "presence", channel });
  }
  ping() {
    return this.ask({ type: "ping" });
  }
  async call(method, payload = null) {
    if (!isLabel(method)) throw invalid("the method is a name of 1 to 255 bytes");
    return await this.ask({ type: "call", method, payload: rawPayload(payload) });
  }
  setToken(token) {
    if (!isHeaderToken(token, 4096))
      throw invalid("the token is none: letters, digits and !#$%&'*+-.^_`|~ can stand in it, at most 4,096 of them");
    this.tokens.taken(token);
    this.later(() => this.driver?.soon((now) => this.driver?.session.setToken(token, now)));
    this.planRenewal();
  }
  setTolerance(tolerance) {
    this.tolerance = checkBound("tolerance", tolerance, tolerance, 1, toleranceMsMax);
    this.later(() => this.toleranceChanged());
  }
  setBackground(background) {
    this.later(() => this.driver?.background(background));
  }
  close() {
    if (this.state === "ended") return Promise.resolve();
    return new Promise((resolve) => {
      this.closeWaiters.push(resolve);
      this.later(() => this.driver?.run((now) => this.driver?.session.close(now)));
    });
  }
  /* --- beginning --- */
  begin(urls, transport, config) {
    const { platform, tokens } = this;
    this.driver = new Driver(
      {
        platform,
        transport,
        urls,
        tokenMissing: () => {
          const missing = tokens.missing(platform.wallClock());
          if (missing) this.askToken(false);
          return missing;
        },
        refused: (status) => {
          if (status === 401) tokens.expired();
        },
        backgroundChanged: (background) => {
          this.isBackground = background;
          this.toleranceChanged();
        },
        leaving: () => this.saveMemory(true)
      },
      config
    );
    if (this.isStarted) this.driver.start();
    this.planRenewal();
    for (const call2 of this.early.splice(0)) call2();
  }
  /** Now, or when the outbox has been read. */
  later(call2) {
    if (this.driver === null && !this.stillborn) this.early.push(call2);
    else call2();
  }
  loadOutbox(store, make) {
    const saved = (ok) => this.driver?.run((now) => this.driver?.session.saved(ok, now));
    const adapted = {
      put: store.put.bind(store),
      save: (state) => {
        void store.save(state).then(
          () => saved(true),
          () => saved(false)
        );
        return "later";
      }
    };
    const failed = (error) => {
      this.stillborn = true;
      this.problem(error instanceof HoldfastError ? error : new HoldfastError("outbox", `the outbox cannot be read: ${String(error)}`));
      for (const call2 of this.early.splice(0)) call2();
      this.hasEnded();
    };
    store.load().then((stored) => {
      try {
        make(stored, adapted);
      } catch (error) {
        failed(error);
      }
    }, failed);
  }
  checkEarly(channel) {
    if (this.stillborn) throw closedError();
    if (!isChannelName(channel)) throw invalid(`"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
  }
  /* --- tokens, tolerance, memory --- */
  askToken(renewal) {
    this.tokens.ask(
      renewal,
      (token) => {
        const good = this.driver?.run((now) => this.driver?.session.setToken(token, now));
        if (good === false) {
          this.tokens.expired();
          this.problem(invalid('getToken() gave what is no token: see the option "token"'));
        }
        this.planRenewal();
      },
      (error) => {
        this.problem(new HoldfastError("unauthorized", `getToken() failed: ${error instanceof Error ? error.message : String(error)}`));
      }
    );
  }
  planRenewal() {
    const unix = this.platform.wallClock();
    const at = this.tokens.renewAt(unix);
    this.cancelRenewal();
    this.cancelRenewal = () => void 0;
    if (at === Infinity || this.state === "ended") return;
    this.cancelRenewal = this.platform.timer(Math.max(1e3, at - unix), () => {
      if (isConnected(this.state)) this.askToken(true);
    });
  }
  currentTolerance() {
    return this.isBackground ? Math.max(this.tolerance, this.backgroundTolerance) : this.tolerance;
  }
  toleranceChanged() {
    this.adaptive?.setTolerance(this.currentTolerance());
    this.driver?.soon((now) => this.driver?.session.heartbeatChanged(now));
  }
  loadMemory() {
    const { platform, options } = this;
    try {
      const text2 = options.storage?.heartbeat?.load();
      if (typeof text2 === "string") this.memory.decode(text2, platform.now(), platform.wallClock());
    } catch {
    }
  }
  saveMemory(atOnce) {
    const { platform, memory } = this;
    const now = platform.now();
    if (!memory.changed || !atOnce && now - this.memorySavedAt < memorySaveMs) return;
    memory.changed = false;
    this.memorySavedAt = now;
    try {
      this.options.storage?.heartbeat?.save(memory.encode(now, platform.wallClock()));
    } catch {
    }
  }
  /* --- publishes and requests --- */
  publishTo(channel, payload, options = {}) {
    return new Promise((resolve, reject) => {
      const raw = rawPayload(payload);
      const publish = () => {
        if (this.driver === null) {
          reject(closedError());
          return;
        }
        try {
          const publishId = this.driver.soon(() => this.driver?.session.publishing.publish(channel, raw, options.id));
          if (publishId !== void 0) this.publishes.set(publishId, { resolve, reject });
        } catch (error) {
          reject(error);
        }
      };
      this.later(publish);
    });
  }
  historyOf(channel, { since, limit = 100, reverse = false } = {}) {
    if (!isChannelName(channel)) return Promise.reject(invalid(`"${channel}" names no channel`));
    if (!isNumber(limit) || limit < 1 || limit > historyLimitMax) return Promise.reject(invalid(`"limit" is no number from 1 to ${historyLimitMax}`));
    if (since !== void 0 && !(isLabel(since.epoch) && isNumber(since.offset)))
      return Promise.reject(invalid('"since" is no position: give one as a subscription had it, {epoch, offset}'));
    return this.ask({ type: "history", channel, since, limit, reverse });
  }
  ask(what) {
    return new Promise((resolve, reject) => {
      this.later(() => {
        const { driver } = this;
        if (driver === null) {
          reject(closedError());
          return;
        }
        try {
          const requestId = driver.soon((now) => driver.session.questions.ask(what, now));
          const cancelTimer = this.requestTimeout === 0 ? () => void 0 : this.platform.timer(this.requestTimeout, () => this.requestTimedOut(requestId));
          this.requests.set(requestId, { what, resolve, reject, askedAt: this.platform.now(), cancelTimer });
        } catch (error) {
          reject(error);
        }
      });
    });
  }
  answered(requestId) {
    const waiting = this.requests.get(requestId);
    this.requests.delete(requestId);
    waiting?.cancelTimer();
    return waiting;
  }
  requestTimedOut(requestId) {
    this.driver?.session.questions.forget(requestId);
    this.answered(requestId)?.reject(
      new HoldfastError("timeout", `no answer within ${this.requestTimeout} ms: ask again, or see the option "requestTimeout"`)
    );
  }
  /* --- subscriptions --- */
  follow(subscription) {
    const { channel, options } = subscription;
    try {
      if (this.driver === null) throw closedError();
      this.driver.soon((now) => this.driver?.session.channels.subscribe(channel, options, now));
    } catch (error) {
      this.subscriptions.delete(channel);
      subscription.unsubscribed(error instanceof HoldfastError ? error : invalid(String(error)));
    }
  }
  leave(channel) {
    this.later(() => {
      const following = this.following.get(channel);
      if (following?.leaving === true) {
        this.following.delete(channel);
        following.unsubscribed(void 0);
        return;
      }
      this.driver?.soon((now) => this.driver?.session.channels.unsubscribe(channel, now));
    });
  }
  channelEnded(channel, error) {
    const next = this.following.get(channel);
    const last = this.subscriptions.get(channel);
    this.following.delete(channel);
    if (next === void 0) this.subscriptions.delete(channel);
    else this.subscriptions.set(channel, next);
    last?.unsubscribed(error);
    if (next !== void 0) this.follow(next);
  }
  /** The one that a channel's events are for: one that the backend made is made here, too. */
  subscriptionOf(channel) {
    const known = this.subscriptions.get(channel);
    if (known !== void 0) return known;
    const made = new ChannelSubscription(channel, {}, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishTo(name, payload, how),
      history: (name, what) => this.historyOf(name, what),
      presence: (name) => this.presence(name)
    });
    this.subscriptions.set(channel, made);
    this.emitter.emit("subscription", made);
    return made;
  }
  /* --- what the session tells --- */
  onEvent(event) {
    switch (event.type) {
      case "message": {
        const subscription = this.subscriptions.get(event.message.channel);
        const message = messageOf(event.epoch, event.message);
        if (subscription === void 0 || subscription.leaving) return;
        subscription.message(message);
        this.emitter.emit("message", message);
        return;
      }
      case "acked": {
        const { publishId, channel, offset } = event;
        this.published(publishId)?.resolve({ channel, offset: offset === 0 ? null : offset, publishId });
        return;
      }
      case "refused": {
        const { publishId, channel, code, reason } = event;
        const { code: errorCode2, message } = serverError(code, reason);
        this.published(publishId)?.reject(new PublishRefused(channel, errorCode2, message, code));
        return;
      }
      case "uncertain": {
        const { publishId, channel, id, payload } = event;
        const value = typeof payload === "string" ? JSON.parse(payload) : payload;
        this.uncertain(publishId, new PublishUncertain(channel, id, value));
        return;
      }
      case "state": {
        const { from, to, cause, evidence, reason, closeCode, httpStatus, delayMs: nextAttempt } = event;
        this.emitter.emit("state", { from, to, cause, evidence, reason, closeCode, httpStatus, nextAttempt });
        return;
      }
      case "connected":
        this.onConnected(event);
        return;
      case "caughtUp":
        this.emitter.emit("caughtUp", { messages: event.count });
        this.saveMemory(false);
        return;
      case "disconnected":
      case "retrying":
      case "ended":
        this.onEnding(event);
        return;
      case "subscribed": {
        const { channel, epoch, offset, recovered } = event;
        this.subscriptionOf(channel).subscribed({ channel, epoch, offset, recovered });
        return;
      }
      case "unsubscribed":
        this.channelEnded(event.channel, event.code === "" ? void 0 : serverError(event.code, event.reason));
        return;
      case "gap":
        this.onGap(event);
        return;
      case "presence": {
        const { kind, channel, member } = event;
        this.subscriptions.get(channel)?.presenceChanged(kind, { channel, ...member });
        return;
      }
      case "pong": {
        const waiting = this.answered(event.requestId);
        waiting?.resolve(this.platform.now() - waiting.askedAt);
        return;
      }
      case "history": {
        const { channel, epoch, offset: head2, messages } = event;
        this.answered(event.requestId)?.resolve({ channel, epoch, head: head2, messages: messages.map((each) => messageOf(epoch, each)) });
        return;
      }
      case "members":
        this.answered(event.requestId)?.resolve(event.members);
        return;
      case "reply":
        this.answered(event.requestId)?.resolve(event.payload);
        return;
      case "failed": {
        const { requestId, code, reason } = event;
        this.answered(requestId)?.reject(code === "uncertain" ? new HoldfastError(code, reason) : serverError(code, reason));
        return;
      }
      case "error": {
        const { code, reason, channel } = event;
        this.problem(code === "outbox" ? new HoldfastError(code, reason) : serverError(code, reason), channel);
        return;
      }
    }
  }
  onConnected(event) {
    const { session, resumed, retries, encoding, address } = event;
    const own = this.driver?.session;
    own?.setNetwork(networkKey(this.platform.networkKey(), address), this.platform.now());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.resolve();
    this.emitter.emit("connected", { session, resumed, connections: own?.connections ?? 1, retries, encoding });
  }
  onEnding({ type, cause, evidence, reason, closeCode, httpStatus, delayMs, asked }) {
    const event = { cause, evidence, reason, closeCode, httpStatus, nextAttempt: delayMs, asked };
    if (cause === "token_expired") this.tokens.expired();
    if (type === "retrying") this.driver?.nextUrl();
    this.saveMemory(type === "ended");
    this.emitter.emit(type, event);
    if (type === "ended") this.hasEnded();
  }
  onGap({ channel, epoch, from, to, code }) {
    const offsets = code === "epoch" ? { from: null, to: null } : { from, to };
    const gap = { type: "gap", channel, epoch, ...offsets, code: gapCode(code) };
    const subscription = this.subscriptions.get(channel);
    if (subscription?.leaving === true) return;
    const heard = subscription?.gap(gap) === true;
    if (!heard && !this.emitter.has("gap"))
      this.platform.warn(
        `holdfast: messages ${from} to ${to} of "${channel}" cannot be had (${code}), and nobody listens to that: see the event "gap"`
      );
    this.emitter.emit("gap", gap);
  }
  /** The promise of a publish; undefined: another page made it. */
  published(publishId) {
    const settle = this.publishes.get(publishId);
    this.publishes.delete(publishId);
    return settle;
  }
  uncertain(publishId, error) {
    const settle = this.published(publishId);
    if (settle === void 0) this.problem(error, error.channel);
    else settle.reject(error);
  }
  problem(error, channel = "") {
    if (!this.emitter.has("problem")) this.platform.warn(`holdfast: ${error.message}`);
    this.emitter.emit("problem", channel === "" ? { error } : { error, channel });
  }
  /** Nothing more will come: what waits is told so. */
  hasEnded() {
    this.cancelRenewal();
    this.settleUnanswered();
    for (const requestId of [...this.requests.keys()]) this.answered(requestId)?.reject(closedError());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.reject(closedError());
    for (const subscription of [...this.subscriptions.values(), ...this.following.values()])
      subscription.unsubscribed(subscription.leaving ? void 0 : closedError());
    this.subscriptions.clear();
    this.following.clear();
    this.options.storage?.outbox?.close();
    for (const resolve of this.closeWaiters.splice(0)) resolve();
  }
  /** Those that may have been sent are uncertain; with a store all stay there for the next page. */
  settleUnanswered() {
    const outbox = this.driver?.session.publishing.outbox;
    const sentId = outbox === void 0 ? 0 : outbox.firstId + outbox.sent - 1;
    if (this.hasStore) this.driver?.run((now) => this.driver?.session.saveLast(now));
    for (const [publishId, { reject }] of this.publishes) {
      const item = this.hasStore ? void 0 : outbox?.take();
      if (item !== void 0 && publishId <= sentId)
        reject(new PublishUncertain(item.channel, item.id, typeof item.payload === "string" ? JSON.parse(item.payload) : item.payload));
      else reject(closedError());
    }
    this.publishes.clear();
  }
};
function closedError() {
  return new HoldfastError("closed", "this client was closed, or its session has ended: make a new one");
}

// src/platform/websocket.ts
function retryAfter(headers) {
  const value = headers["retry-after"];
  const seconds = typeof value === "string" ? Number(value) : 0;
  return Number.isInteger(seconds) && seconds > 0 ? seconds : 0;
}
var SocketConnection = class {
  /** The last event was told, or close() was called: nothing is told any more. */
  over = false;
  socket;
  constructor(WebSocket, request, events) {
    const socket = new WebSocket(request.url, [...request.protocols]);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (!this.over) events.opened(socket.protocol);
    };
    socket.onmessage = ({ data }) => {
      if (!this.over) events.message(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.end()) events.closed(code, reason);
    };
    socket.onerror = () => void 0;
    socket.on?.("unexpected-response", (asked, response) => {
      asked.destroy();
      if (this.end()) events.refused(response.statusCode ?? 0, retryAfter(response.headers));
    });
  }
  get bufferedAmount() {
    return this.socket.bufferedAmount;
  }
  send(data) {
    this.socket.send(data);
  }
  close(code, reason) {
    this.over = true;
    if (code === void 0 && this.socket.terminate !== void 0) {
      this.socket.terminate();
      return;
    }
    try {
      this.socket.close(code, reason);
    } catch {
      this.socket.close();
    }
  }
  end() {
    const first = !this.over;
    this.over = true;
    return first;
  }
};
function webSocketTransport(WebSocket) {
  const Class = WebSocket;
  return {
    open(request, events) {
      try {
        return new SocketConnection(Class, request, events);
      } catch (error) {
        let over = false;
        queueMicrotask(() => {
          if (!over) events.closed(1006, error instanceof Error ? error.message : String(error));
        });
        return { send: () => void 0, bufferedAmount: 0, close: () => void (over = true) };
      }
    }
  };
}

// src/platform/system.ts
var globals = () => globalThis;
var sleptMs2 = 1e3;
function makeClock() {
  let lastSteady = performance.now();
  let lastWall = Date.now();
  let now = 0;
  return () => {
    const steady = performance.now();
    const wall = Date.now();
    const passed = steady - lastSteady;
    now += wall - lastWall - passed > sleptMs2 ? wall - lastWall : Math.max(0, passed);
    lastSteady = steady;
    lastWall = wall;
    return Math.floor(now);
  };
}
function isHidden() {
  return globals().document?.visibilityState === "hidden";
}
function isOnline() {
  return globals().navigator?.onLine !== false;
}
function networkKind() {
  return globals().navigator?.connection?.type ?? "";
}
function watch(signals) {
  const { document, navigator, addEventListener, removeEventListener } = globals();
  const ends = [];
  let kind = networkKind();
  const listen = (type, listener) => {
    addEventListener?.call(globalThis, type, listener);
    ends.push(() => removeEventListener?.call(globalThis, type, listener));
  };
  const listenDocument = (type, listener) => {
    document?.addEventListener(type, listener);
    ends.push(() => document?.removeEventListener(type, listener));
  };
  const networkChanged = () => {
    const moved = networkKind() !== kind;
    kind = networkKind();
    signals.network(isOnline(), moved);
  };
  if (addEventListener !== void 0) {
    listen("online", networkChanged);
    listen("offline", networkChanged);
  }
  if (document !== void 0) {
    listenDocument("visibilitychange", () => signals.background(isHidden()));
    listenDocument("resume", () => signals.wokeUp());
    listen("pagehide", () => signals.leaving());
    listen("pageshow", (event) => {
      if (event.persisted) signals.wokeUp();
    });
  }
  const connectionChanged = () => {
    if (networkKind() !== kind) networkChanged();
  };
  navigator?.connection?.addEventListener?.("change", connectionChanged);
  ends.push(() => navigator?.connection?.removeEventListener?.("change", connectionChanged));
  return () => {
    for (const end of ends.splice(0)) end();
  };
}
function globalTransport() {
  const { WebSocket } = globals();
  return WebSocket === void 0 ? void 0 : webSocketTransport(WebSocket);
}
function systemPlatform(other) {
  return {
    now: makeClock(),
    wallClock: () => Date.now(),
    timer(delay, callback) {
      const id = setTimeout(callback, Math.min(Math.max(0, Math.ceil(delay)), 2147483647));
      return () => clearTimeout(id);
    },
    random: () => Math.random(),
    online: isOnline,
    background: isHidden,
    networkKey: networkKind,
    watch,
    transport() {
      const transport = globalTransport() ?? other?.();
      if (transport === void 0)
        throw new HoldfastError("unsupported", "there is no WebSocket here: give the option `transport: webSocketTransport(\u2026)` one, npm `ws` for example");
      return transport;
    },
    warn: (text2) => console.warn(text2)
  };
}

export {
  stateNumbers,
  causeNumbers,
  causeTexts,
  errorNumbers,
  gapNumbers,
  closeCodes,
  HoldfastError,
  PublishRefused,
  PublishUncertain,
  HoldfastClient,
  webSocketTransport,
  systemPlatform
};
//# sourceMappingURL=shared-Z2LNZCYJ.js.map
