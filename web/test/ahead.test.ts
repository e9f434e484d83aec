import { expect, it } from 'vitest';
import { beginning, renditions } from '../src/player/ahead';

const head = '#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.36,CAN-SKIP-UNTIL=24.0\n';
const part = (name: string, more = '') => `#EXT-X-PART:DURATION=0.12000,URI="${name}.m4s"${more}\n`;
const key = ',INDEPENDENT=YES';

it.each([
  ['from the last keyframe before the hold-back', part('6.0', key) + part('6.1') + '#EXTINF:4.0,\n6.m4s\n' + part('7.0', key) + part('7.1') + part('7.2') + part('7.3'), ['init.mp4', '7.0.m4s', '7.1.m4s', '7.2.m4s', '7.3.m4s']],
  ['not from one nearer to the end', part('6.0', key) + part('6.1') + part('6.2') + part('7.0', key) + part('7.1'), ['init.mp4', '6.0.m4s', '6.1.m4s', '6.2.m4s', '7.0.m4s']],
  ['from the first keyframe, where all are near', part('6.9') + part('7.0', key), ['init.mp4', '7.0.m4s']],
  ['without a keyframe nothing', part('6.1') + part('6.2'), []],
  ['after a gap', part('6.0', key + ',GAP=YES') + part('7.0', key), ['init.mp4', '7.0.m4s']],
])('begins %s', (_, parts, files) => {
  expect(beginning(head + '#EXT-X-MAP:URI="init.mp4"\n' + parts + '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="7.9.m4s"\n')).toEqual(files);
});

it('fetches the playlists of the only variant', () => {
  const variant = '#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.640028,mp4a.40.2",AUDIO="a"\n';
  const sound = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Audio",URI="a0.m3u8"\n';
  expect(renditions(`#EXTM3U\n${sound}${variant}v0.m3u8\n`)).toEqual(['v0.m3u8', 'a0.m3u8']);
  expect(renditions(`#EXTM3U\n${variant}v0.m3u8\n${variant}v1.m3u8\n`)).toEqual([]);
});
