/** The host that this window belongs to, over Tauri. The only file that knows Tauri. */
import { Channel, invoke } from '@tauri-apps/api/core';
import { EngineError, expectReply, type Follow, type Transport } from './transport';
import type { Call, Event, Reply, TaskId } from './types';

// Upwards from the page before this one, whose numbers the host may still hold.
let follows = Date.now();

async function call<T>(command: string, parameters: Record<string, unknown>): Promise<T> {
  try {
    return await invoke<T>(command, parameters);
  } catch (reason) {
    throw EngineError.from(reason);
  }
}

export const host: Transport = {
  rpc: (request: Call) => call<Reply>('rpc', { call: request }),

  async events(onEvent) {
    const channel = new Channel<Event>(onEvent);
    return expectReply(await call<Reply>('events', { channel }), 'subscribed');
  },

  followLog(id: TaskId, offset: number, onBytes): Follow {
    const follow = ++follows;
    let stopped = false;
    const channel = new Channel<ArrayBuffer>((bytes) => {
      if (stopped) return;
      // The offset comes first, in eight bytes.
      const offset = new DataView(bytes).getBigUint64(0, true);
      onBytes(new Uint8Array(bytes, 8), Number(offset));
    });
    return {
      ended: call<undefined>('follow_log', { follow, id, offset, channel }),
      stop() {
        if (stopped) return;
        stopped = true;
        // A follow that has just ended is no longer there to be stopped.
        call('unfollow_log', { follow }).catch(() => undefined);
      },
    };
  },
};
