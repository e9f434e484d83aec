import type { Stream } from '../api';
import { t, tOr } from './lang';

/** A stream's reason in words, or nothing. An idle stream's reason is that nobody watches. */
export function reason(s: Pick<Stream, 'state' | 'reason'>): string {
  const code = s.reason || (s.state === 'idle' ? 'idle' : '');
  return code && tOr(`reason.${code}`, t('reason.other', { code }));
}

/** A stream's state as a word with its colour, and why. */
export function Badge({ of: s, why = true }: { of: Pick<Stream, 'state' | 'reason'>; why?: boolean }) {
  const words = why ? reason(s) : '';
  return (
    <span class="state" data-state={s.state}>
      <b>{tOr(`state.${s.state}`, s.state)}</b>
      {words && <span class="why">{words}</span>}
    </span>
  );
}
