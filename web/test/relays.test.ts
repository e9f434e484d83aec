import { expect, test } from 'vitest';
import { relaysOf } from '../src/player/whep';

test('reads TURN servers from Link headers', () => {
  const link =
    '<turn:example.org:3478?transport=udp>; rel="ice-server"; username="1:a"; credential="x=y"; credential-type="password", ' +
    '</whep/cam0/n1.s/layer>; rel="urn:ietf:params:whep:ext:core:layer", ' +
    '<turns:example.org:5349?transport=tcp>; rel="ice-server"; username="1:a"; credential="x=y"; credential-type="password"';
  expect(relaysOf(link)).toEqual([
    { urls: 'turn:example.org:3478?transport=udp', username: '1:a', credential: 'x=y' },
    { urls: 'turns:example.org:5349?transport=tcp', username: '1:a', credential: 'x=y' },
  ]);
  expect(relaysOf(null)).toEqual([]);
});
