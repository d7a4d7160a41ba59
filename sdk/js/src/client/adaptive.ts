/** client/adaptive.ts - the adaptive heartbeat as a client has it: its tolerance, its probes, and what it remembers of networks. */
import { AdaptiveHeartbeat } from '../core/heartbeat_adaptive.js';
import { HeartbeatMemory } from '../core/heartbeat_memory.js';
import { Prober } from '../core/prober.js';
import type { Random } from '../core/random.js';
import { networkKey } from '../network_key.js';
import type { Host } from './host.js';
import type { Adaptive } from './parts.js';

/** Between two saves of what is known of networks: while one is new, that changes after each probe. */
const memorySaveMs = 10_000;

export function adaptiveHeartbeat(host: Host, toleranceMs: number, random: Random): Adaptive {
  const { platform, options } = host;
  const kept = options.storage?.heartbeat;
  const memory = new HeartbeatMemory();
  let savedAt = -Infinity;
  try {
    const text = kept?.load();
    if (typeof text === 'string') memory.decode(text, platform.now(), platform.wallClock());
  } catch {
    // It is a cache: what cannot be read is as good as nothing.
  }
  const policy = new AdaptiveHeartbeat(toleranceMs, memory, random);
  return {
    policy,
    prober: (session, link) => new Prober(session, link),
    tolerate: (ms) => policy.setTolerance(ms),
    connected: (address) => host.session?.setNetwork(networkKey(platform.networkKey(), address), platform.now()),
    save(atOnce) {
      const now = platform.now();
      if (!memory.changed || (!atOnce && now - savedAt < memorySaveMs)) return;
      memory.changed = false;
      savedAt = now;
      try {
        kept?.save(memory.encode(now, platform.wallClock()));
      } catch {
        // What cannot be kept is learnt again.
      }
    },
  };
}
