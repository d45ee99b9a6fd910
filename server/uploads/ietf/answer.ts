/** Answers of the draft. */
import type { UploadRow } from '../../../db/schema.ts';
import type { Config } from '../../config.ts';
import type { AppError } from '../../errors.ts';
import { reprDigestOf } from '../repr-digest.ts';
import type { Answer } from '../response.ts';
import type { Dialect } from './dialect.ts';
import { formatBoolean, formatIntegers } from './fields.ts';
import { inDialect } from './problems.ts';

export interface Answers {
  /** Interim: where the upload is. */
  announced(location: string, upload: UploadRow): Record<string, string>;
  /** A creation or an append was taken. */
  taken(upload: UploadRow, created?: string): Answer;
  /** Offset retrieval. */
  standing(upload: UploadRow): Answer;
  cancelled(): Answer;
  /** `resumable`: the client knows where its upload is. */
  failed(error: AppError, resumable: boolean): Answer;
}

/** Upload-Limit before there is an upload, for OPTIONS. "SHOULD NOT be less restrictive than the limits applied to an upload". */
export const limitsOfAll = ({ maxSize, expiresMs }: Config['uploads']): string =>
  formatIntegers({ 'max-size': maxSize, 'max-age': Math.floor(expiresMs / 1000) });

export function createAnswers(dialect: Dialect, config: Config['uploads'], common: Headers): Answers {
  const { interop, field, lifetime } = dialect;

  function answer(status: number, fields: Record<string, string>): Answer {
    const headers = new Headers(common);
    if (interop !== undefined) headers.set('Upload-Draft-Interop-Version', String(interop));
    for (const [name, value] of Object.entries(fields)) headers.set(name, value);
    return { status, headers, problem: undefined };
  }

  const completeness = (complete: boolean): Record<string, string> => ({
    [field]: formatBoolean(complete === (field === 'Upload-Complete')),
  });

  function limits(upload?: UploadRow): Record<string, string> {
    if (lifetime === undefined) return {};
    const left = upload?.expiresAt
      ? Math.max(0, Math.floor((upload.expiresAt - Date.now()) / 1000))
      : undefined;
    return { 'Upload-Limit': formatIntegers({ 'max-size': config.maxSize, [lifetime]: left }) };
  }

  const progress = (upload: UploadRow): Record<string, string> => ({
    ...completeness(upload.state === 'complete'),
    'Upload-Offset': String(upload.offset),
    ...limits(upload),
    ...reprDigestOf(upload),
  });

  return {
    announced: (location, upload) => ({ Location: location, ...limits(upload) }),
    taken(upload, created) {
      const complete = upload.state === 'complete';
      const location: Record<string, string> = created === undefined ? {} : { Location: created };
      const status = complete || created !== undefined ? 201 : dialect.appended;
      // "the response that matches what the resource … would have generated if it had processed the entire representation"
      return {
        ...answer(status, { ...location, ...progress(upload) }),
        ...(complete && { json: { id: upload.mediaId } }),
      };
    },
    standing: (upload) =>
      answer(204, {
        ...progress(upload),
        ...(upload.length === null ? {} : { 'Upload-Length': String(upload.length) }),
        'Cache-Control': 'no-store',
      }),
    cancelled: () => answer(204, {}),
    failed(error, resumable) {
      const problem = inDialect(dialect, error);
      const limited = problem.status === 413 ? limits() : {};
      // "5xx … or no final response at all": the draft lets a client resume after both, iOS does so after the latter only.
      const passing = problem.status === 503 || problem.code === 'request_cut';
      const cut = resumable && interop !== undefined && passing;
      return { ...answer(problem.status, { ...completeness(false), ...limited }), problem, cut };
    },
  };
}
