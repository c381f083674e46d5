import fc from 'fast-check';

// Before every test file. A run that decides about a change is the same each time; whoever looks for more runs without CI,
// or with another seed.
const { CI, CLARIN_SEED } = process.env;
if (CLARIN_SEED || CI) fc.configureGlobal({ seed: Number(CLARIN_SEED || 1) });
