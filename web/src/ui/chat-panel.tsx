import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { SocketError } from '../socket';
import type { Chat, Line } from './chat';
import { clock, count, t, tOr } from './lang';
import { rename, status, unauthorized, welcome } from './session';

/** The longest text that the server takes. */
const longest = 500;

/** A room's chat: the lines, and a field to write. */
export function ChatPanel({ chat }: { chat: Chat }) {
  return (
    <>
      <header class="chat-head">
        <h2>{t('chat.title')}</h2>
        {chat.joined.value && <span class="num">{t('room.people', { n: count(chat.count.value) })}</span>}
      </header>
      <Lines chat={chat} />
      <Composer chat={chat} />
    </>
  );
}

/** Stays at the newest line unless the reader has scrolled up. */
function Lines({ chat }: { chat: Chat }) {
  const box = useRef<HTMLDivElement>(null);
  const end = useSignal(true);
  const lines = chat.lines.value;
  useLayoutEffect(() => {
    if (end.value && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const down = () => {
    end.value = true;
    box.current?.scrollTo({ top: box.current.scrollHeight });
  };
  return (
    <div class="lines-box">
      <div
        class="lines"
        ref={box}
        role="log"
        tabIndex={0}
        aria-label={t('chat.title')}
        onScroll={() => {
          const b = box.current!;
          end.value = b.scrollHeight - b.scrollTop - b.clientHeight < 40;
        }}
      >
        {lines.length === 0 && chat.joined.value && <p class="hush">{t('chat.empty')}</p>}
        {lines.map((l, i) => (
          <LineView key={l.cid && l.user ? l.user + l.cid : l.mid} line={l} above={lines[i - 1]} chat={chat} />
        ))}
      </div>
      {!end.value && <button class="newer" type="button" onClick={down}>{t('chat.new')} ↓</button>}
    </div>
  );
}

/** Lines of one person within five minutes stand under one name. */
function follows(line: Line, above: Line | undefined): boolean {
  return above !== undefined && !above.kind && !line.kind && above.user === line.user && line.at - above.at < 300_000;
}

function LineView({ line, above, chat }: { line: Line; above: Line | undefined; chat: Chat }) {
  if (line.kind === 'notice') return <p class="notice">{line.text}</p>;
  const me = line.user === welcome.value?.you.user;
  // Where access is open every guest may do everything: that makes nobody staff.
  const role = line.role && !line.user?.startsWith('guest-') ? tOr(`role.${line.role}`, '') : '';
  return (
    <div class={`line${follows(line, above) ? ' follows' : ''}`} data-state={line.state}>
      {!follows(line, above) && (
        <div class="who">
          <b style={{ color: `oklch(var(--name) ${hue(line.user ?? '')})` }}>{line.name}</b>
          {me && <small>({t('you')})</small>}
          {role && <small class="role">{role}</small>}
          <time class="num">{clock(line.at)}</time>
        </div>
      )}
      <p dir="auto">{line.text}</p>
      {line.state === 'failed' && (
        <p class="failed">
          {t('chat.failed', { why: line.why ? refusal(line.why) : '' })} <button type="button" class="link" onClick={() => chat.again(line)}>{t('chat.again')}</button>
        </p>
      )}
      {chat.joined.value?.can.moderate && !line.state && (
        <span class="tools">
          <button type="button" class="link" onClick={() => chat.remove(line)}>{t('chat.remove')}</button>
          {!me && <button type="button" class="link" onClick={() => chat.mute(line, 600_000)}>{t('chat.mute')}</button>}
        </span>
      )}
    </div>
  );
}

/** A person's own hue, the same in every browser. */
function hue(user: string): number {
  let h = 0;
  for (const c of user) h = (h * 31 + c.codePointAt(0)!) % 360;
  return h;
}

/** Why a line was not taken, in the visitor's language where the code is known. */
function refusal(e: SocketError): string {
  if ((e.code === 'slow' || e.code === 'rate') && e.retry) return t('chat.wait', { n: Math.ceil(e.retry / 1000) });
  if (e.code === 'muted') return t('chat.muted');
  if (e.code === 'chat-off') return t('chat.off');
  if (e.code === 'forbidden' || e.code === 'unauthorized') return t('chat.guests');
  return e.code === 'busy' ? t('chat.busy') : e.message;
}

/** Why nobody, or this person, can write here; "" if they can. */
function obstacle(chat: Chat): string {
  const s = status.value;
  const left = chat.left.value;
  if (left?.code === 'unauthorized' || left?.code === 'forbidden') return t('chat.denied');
  if (left) return left.code === 'removed' ? t('room.removed') : t('chat.closed', { why: left.text });
  if (s.state === 'closed' && s.code === unauthorized) return t('chat.denied');
  if (s.state === 'closed') return t('chat.closed', { why: s.reason || String(s.code) });
  if (!chat.joined.value) return s.state === 'waiting' ? t('chat.lost') : t('chat.connecting');
  if (chat.muted.value > Date.now()) return t('chat.muted');
  if (!chat.rules.value?.chat && !chat.joined.value.can.moderate) return t('chat.off');
  if (!chat.mayWrite.value) return t('chat.guests');
  return '';
}

function Composer({ chat }: { chat: Chat }) {
  const text = useSignal('');
  const naming = useSignal(false);
  const why = obstacle(chat);
  const left = longest - [...text.value].length;
  const you = welcome.value?.you;
  const slow = chat.rules.value?.slow ?? 0;
  const send = (e: Event) => {
    e.preventDefault();
    const say = text.value.trim();
    if (!say || left < 0 || why) return;
    text.value = '';
    void chat.say(say);
  };
  if (why) return <p class="composer-off" role="status">{why}</p>;
  return (
    <form class="composer" onSubmit={send}>
      {naming.value ? (
        <NameField done={() => (naming.value = false)} />
      ) : (
        <div class="as">
          <span>{t('chat.as', { name: you?.name ?? '' })}</span>
          {you?.guest && <button type="button" class="link" onClick={() => (naming.value = true)}>{t('chat.name.change')}</button>}
        </div>
      )}
      <div class="write">
        <textarea
          rows={1}
          value={text.value}
          placeholder={status.value.state === 'open' ? t('chat.write') : t('chat.lost')}
          aria-label={t('chat.write')}
          onInput={(e) => (text.value = e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) send(e);
          }}
        />
        <button class="send" type="submit" disabled={!text.value.trim() || left < 0}>{t('chat.send')}</button>
      </div>
      {(left < 60 || slow > 0) && (
        <small class={`num${left < 0 ? ' over' : ''}`}>{left < 60 ? t('chat.left', { n: left }) : t('chat.slow', { n: slow })}</small>
      )}
    </form>
  );
}

function NameField({ done }: { done: () => void }) {
  const name = useSignal(welcome.value?.you.name ?? '');
  const take = () => {
    if (name.value.trim()) rename(name.value.trim().slice(0, 40));
    done();
  };
  return (
    <div class="as">
      <input
        value={name.value}
        maxLength={40}
        aria-label={t('chat.name')}
        autoFocus
        onInput={(e) => (name.value = e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') e.preventDefault(), take();
          if (e.key === 'Escape') done();
        }}
        onBlur={take}
      />
    </div>
  );
}
