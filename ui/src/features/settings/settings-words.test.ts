import { describe, expect, it } from 'vitest';
import { fileWords, graceWords, serverWords } from './settings-words';

describe('the words of the settings', () => {
  const config = {
    ...{ file: '/c', is_there: true, error: null, terminal_approvals: false },
    ...{ default_group: 'default', default_slots: 1, grace_ms: 1 },
  };

  it('tell where the file is not what is in force', () => {
    expect(fileWords(config, false)).toBe('It is in force.');
    expect(fileWords({ ...config, is_there: false }, false)).toContain('There is none');
    expect(fileWords({ ...config, error: 'x' }, false)).toContain('has an error');
    expect(fileWords(config, true)).toContain('waits for you');
  });

  it('tell why nothing shows notifications', () => {
    const why = 'nothing on the session bus shows them';
    expect(serverWords({ type: 'missing', why }).more).toBe(
      'Nothing on the session bus shows them.',
    );
    expect(serverWords({ type: 'nobody' }).works).toBe(false);
  });

  it.each([
    [5_000, '5 s'],
    [2_500, '2500 ms'],
    [0, '0 s'],
  ])('say %i milliseconds as %s', (milliseconds, words) => {
    expect(graceWords(milliseconds)).toBe(words);
  });
});
