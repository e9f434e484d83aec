/** The Worker, and its functions for the test: what is asked of them is answered in workerd. */
import worker, { type Env } from '../../worker/worker';
import { matches, readKeys, verify } from '../../worker/token';

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (new URL(request.url).pathname !== '/test') return worker.fetch(request, env);
    const { tokens, match } = (await request.json()) as { tokens: { token: string; now: number; stream: string }[]; match: { pattern: string; name: string }[] };
    const keys = readKeys(env.PATH_KEYS);
    return Response.json({
      verdicts: await Promise.all(tokens.map((t) => verify(t.token, t.stream, t.now, keys))),
      matches: match.map((m) => matches(m.pattern, m.name)),
    });
  },
};
