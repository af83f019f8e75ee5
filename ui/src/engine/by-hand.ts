/** Keeps from the host what only a person may say, and no hand has said. */
import { FOR_A_PERSON } from './bindings/ForAPerson';
import type { Hand, Hands } from './hand';
import { EngineError, type Transport } from './transport';
import type { Call } from './types';

const ONLY_BY_HAND: ReadonlySet<Call['method']> = new Set<Call['method']>(FOR_A_PERSON);

const BY_NO_HAND =
  'A program pressed this, not the mouse or the keyboard. Press it yourself: programs may not answer.';
const BY_A_LENT_HAND =
  'A program moved the focus here, so the key was not taken. Go there yourself, with Tab or the mouse.';
const TYPED_BY_NO_HAND = 'A program wrote this, not the keyboard: it was not typed into the task.';

/** Returns `transport`, but for what a person has to say while no hand is at work. */
export function byHand(transport: Transport, hands: Pick<Hands, 'now' | 'goOn'>): Transport {
  return {
    ...transport,
    hand: () => hands.now,
    async rpc(call) {
      const hand = hands.now;
      const refusal = refused(call, hand);
      if (refusal !== null) throw new EngineError('forbidden', refusal);
      try {
        return await transport.rpc(call);
      } finally {
        if (hand === 'own' && ONLY_BY_HAND.has(call.method)) hands.goOn();
      }
    },
  };
}

/**
 * Returns why what comes just now is not typed into a task. What comes of nobody is: a terminal
 * answers what the task asks of it, and an input method writes after its keys.
 */
export function whyNotTyped(hand: Hand): string | null {
  if (hand === 'program') return TYPED_BY_NO_HAND;
  return hand === 'lent' ? BY_A_LENT_HAND : null;
}

function refused(call: Call, hand: Hand): string | null {
  if (hand === 'own' || !ONLY_BY_HAND.has(call.method)) return null;
  // A denial is where the focus goes by itself, and lets nothing happen.
  if (hand === 'lent') return isDenial(call) ? null : BY_A_LENT_HAND;
  return BY_NO_HAND;
}

function isDenial(call: Call): boolean {
  return call.method === 'answer' && call.params.answer.type === 'deny';
}
