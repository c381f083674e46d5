import { expect } from 'vitest';
import { TEST_FILE } from './children.ts';

// Before every test file: whatever it starts can be said to be its.
process.env[TEST_FILE] = expect.getState().testPath;
