/** Requests that are asked again later anyway: what went wrong is told, never thrown. */
import type { Problem } from '../api';

export type Answer<T> = { ok: true; data: T } | { ok: false; status: number; detail: string };

type Denied = () => void;
let denied: Denied = () => undefined;

/** Told when a server wants to know who asks. */
export function onDenied(action: Denied): void {
  denied = action;
}

export async function request<T>(address: string, init: RequestInit = {}): Promise<Answer<T>> {
  try {
    const response = await fetch(address, { cache: 'no-store', ...init });
    if (response.status === 401 && !address.endsWith('/login')) denied();
    if (response.status === 204) return { ok: true, data: undefined as T };
    if (response.ok) return { ok: true, data: (await response.json()) as T };
    const problem = (await response.json().catch(() => null)) as Problem | null;
    return { ok: false, status: response.status, detail: problem?.detail ?? response.statusText };
  } catch {
    return { ok: false, status: 0, detail: 'the server cannot be reached' };
  }
}

export async function get<T>(address: string): Promise<T | null> {
  const answer = await request<T>(address);
  return answer.ok ? answer.data : null;
}

export function post<T>(address: string, body: unknown = {}): Promise<Answer<T>> {
  return request<T>(address, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}
