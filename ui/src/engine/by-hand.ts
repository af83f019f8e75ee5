/** Keeps from the host what only a person may say, and no hand has said. */
import type { Hand, Hands } from './hand';
import { EngineError, type Transport } from './transport';
import type { Call } from './types';

const FOR_A_PERSON: ReadonlySet<Call['method']> = new Set<Call['method']>([
  'answer',
  'confirm_loosening',
  'allow_notification_approvals',
  'add_rule',
  'revoke_rule',
  'submit',
  'run_again',
]);

const BY_NO_HAND =
  'A program pressed this, not the mouse or the keyboard. Press it yourself: programs may not answer.';
const BY_A_LENT_HAND =
  'A program moved the focus here, so the key was not taken. Go to the button yourself, with Tab or the mouse.';

/** Returns `transport`, but for what a person has to say while no hand is at work. */
export function byHand(transport: Transport, hands: Pick<Hands, 'now' | 'goOn'>): Transport {
  return {
    ...transport,
    async rpc(call) {
      const hand = hands.now;
      const refusal = refused(call, hand);
      if (refusal !== null) throw new EngineError('forbidden', refusal);
      const reply = await transport.rpc(call);
      if (hand === 'own' && FOR_A_PERSON.has(call.method)) hands.goOn();
      return reply;
    },
  };
}

function refused(call: Call, hand: Hand): string | null {
  if (hand === 'own' || !FOR_A_PERSON.has(call.method)) return null;
  // A denial is where the focus goes by itself, and lets nothing happen.
  if (hand === 'lent') return isDenial(call) ? null : BY_A_LENT_HAND;
  return BY_NO_HAND;
}

function isDenial(call: Call): boolean {
  return call.method === 'answer' && call.params.answer.type === 'deny';
}
