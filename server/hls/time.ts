/**
 * Seconds: the time stamp of a media's beginning in its segments. The encoder's priming samples lie before it, and
 * time stamps below 0 are none.
 */
export const TIME_OFFSET = 10;
