import type { Ready } from './greeting.ts';

/** `POST /api/auth/login`, and so on, as a person's program would. @throws Error with what was answered instead. */
export async function callApi<T>(
  { api }: Pick<Ready, 'api'>,
  route: string,
  body: unknown,
  token?: string,
): Promise<T> {
  const [method = '', path = ''] = route.split(' ');
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}
