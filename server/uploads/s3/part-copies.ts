/**
 * Readable copies of the parts of an unfinished object on S3: nobody can read what is in a multipart upload before it
 * is completed. They exist for those who read an upload while it arrives, and go when it is whole or given up.
 */

/** Everything of unfinished uploads that is no part: tails and copies, in a folder for each. */
export const INCOMING = 'incoming/';

/** Below it lie the copies of an upload's parts. */
export const partCopies = (uploadId: string): string => `${INCOMING}${uploadId}/parts/`;

/** Where the copy of a part is. The number is as unique as that of the part: a holder that was paused has others. */
export const partCopy = (uploadId: string, number: number): string => `${partCopies(uploadId)}${number}`;
