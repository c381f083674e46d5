import { writeSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';
import { findLeaked, RUN_MARK } from './children.ts';

/**
 * Closes a run with `N passed, N failed[, N skipped]` alone on the last line. What fails outside of
 * a test counts as failed: a file that cannot be loaded, a failed hook, an unhandled error, a
 * process that outlived the run.
 */
export class SummaryReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;
  #isListening = false;

  onTestRunStart(): void {
    this.#passed = 0;
    this.#failed = 0;
    this.#skipped = 0;
    if (this.#isListening) return;
    this.#isListening = true;
    // Everybody else has written by then.
    process.once('exit', () => this.#close());
  }

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === 'passed') this.#passed += 1;
    else if (state === 'failed') this.#failed += 1;
    else this.#skipped += 1;
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    this.#failed += errors.length;
    for (const module of modules) {
      const broken = [module, ...module.children.allSuites()].filter(
        (each) => each.errors().length > 0,
      );
      this.#failed += broken.length;
    }
  }

  #close(): void {
    const mark = process.env[RUN_MARK];
    for (const { pid, command, file } of mark === undefined ? [] : findLeaked(mark)) {
      const whose = file === undefined ? 'the tests' : relative(process.cwd(), file);
      writeSync(1, `left behind by ${whose}: process ${pid} (${command})\n`);
      this.#failed += 1;
      process.kill(pid, 'SIGKILL');
    }
    if (this.#failed > 0 && !process.exitCode) process.exitCode = 1;
    const skipped = this.#skipped > 0 ? `, ${this.#skipped} skipped` : '';
    writeSync(1, `${this.#passed} passed, ${this.#failed} failed${skipped}\n`);
  }
}
