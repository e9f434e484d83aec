/** /: the wall of streams. */
import '../player/here';
import '../style/app.css';
import '../style/hub.css';
import { computed, signal } from '@preact/signals';
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { APIError, isLive } from '../api';
import { Bar } from '../ui/bar';
import { Card } from '../ui/card';
import { doubt } from '../ui/doubt';
import { Empty } from '../ui/empty';
import { count, t } from '../ui/lang';
import { failure, follow, list, liveCount, load, stale, streams } from '../ui/wall';

type Filter = 'all' | 'live' | 'trouble';
const filters: Filter[] = ['all', 'live', 'trouble'];
const query = signal(new URLSearchParams(location.search).get('q') ?? '');
const filter = signal<Filter>('all');
const adding = signal(false);

const shown = computed(() => {
  const q = query.value.trim().toLowerCase();
  return list.value.filter((s) => {
    if (q && !s.name.includes(q) && !s.title?.toLowerCase().includes(q)) return false;
    if (filter.value === 'live') return isLive(s);
    return filter.value !== 'trouble' || !(s.state === 'live' || s.state === 'idle');
  });
});

function search(text: string): void {
  query.value = text;
  history.replaceState(null, '', text ? `?q=${encodeURIComponent(text)}` : location.pathname);
}

function Hub() {
  return (
    <>
      <header class="bar">
        <Bar>
          {list.value.length > 0 && (
            <input class="search" type="search" value={query.value} placeholder={t('hub.search')} aria-label={t('hub.search')} onInput={(e) => { search(e.currentTarget.value); adding.value = false; }} />
          )}
          {list.value.length > 0 && (
            <button type="button" class="button add" aria-pressed={adding.value} onClick={() => (adding.value = !adding.value)}>{t(adding.value ? 'close' : 'hub.add')}</button>
          )}
        </Bar>
      </header>
      <main><Content /></main>
    </>
  );
}

function Content() {
  if (!streams.value) return failure.value ? <Failed /> : <Waiting />;
  if (list.value.length === 0) return <Empty title={t('empty.title')} text={t('empty.text')} />;
  if (adding.value) return <Empty title={t('hub.add')} />;
  return (
    <>
      <div class="head">
        <h1>{t('hub.title')}</h1>
        <span class="num soft">{t('hub.count', { live: count(liveCount.value), all: count(list.value.length) })}</span>
        <div class="filters" role="group">
          {filters.map((f) => (
            <button key={f} type="button" aria-pressed={filter.value === f} onClick={() => (filter.value = f)}>{t(`hub.${f}`)}</button>
          ))}
        </div>
      </div>
      {stale.value && <p class="stale" role="status">{t('hub.stale')}</p>}
      {shown.value.length > 0 ? (
        <div class="wall" data-few={list.value.length <= 2}>{shown.value.map((s) => <Card key={s.name} of={s} />)}</div>
      ) : (
        <p class="nothing">
          {query.value ? t('hub.none', { q: query.value }) : '–'}{' '}
          <button type="button" class="link" onClick={() => { search(''); filter.value = 'all'; }}>{t('hub.clear')}</button>
        </p>
      )}
    </>
  );
}

/** Cards without pictures stand where the pictures will be: nothing jumps when the list comes. */
function Waiting() {
  return (
    <>
      <div class="head"><h1>{t('hub.title')}</h1><span class="soft" role="status">{t('hub.loading')}</span></div>
      <div class="wall">{[0, 1, 2, 3, 4, 5].map((i) => <div key={i} class="card ghost"><div class="picture" /><div class="label" /></div>)}</div>
    </>
  );
}

function Failed() {
  const e = failure.value;
  const denied = e instanceof APIError && (e.status === 401 || e.status === 403);
  useEffect(() => void (denied && doubt()), [denied]);
  return (
    <div class="note" role="alert">
      <h1>{denied ? t('hub.denied') : t('hub.failed')}</h1>
      {!denied && <p class="soft">{e?.message}</p>}
      <p><button type="button" class="button" onClick={() => void load()}>{t('retry')}</button></p>
    </div>
  );
}

const app = document.getElementById('app')!;
app.replaceChildren();
render(<Hub />, app);
follow();
