/** An engine whose every call to S3 goes through a proxy that a test can make fail. */
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { openGround, startEngine, type Stage } from './harness.ts';

export interface FaultyStage extends Stage {
  /** Between the engine and S3; passes everything on again, and has seen nothing, after each test. */
  proxy: FaultProxy;
}

/** From before the first test of this file or block to after its last. */
export function useFaultyS3(): FaultyStage {
  const stage = {} as FaultyStage;
  beforeAll(async () => {
    stage.ground = await openGround('sqlite', 's3');
    stage.proxy = await startFaultProxy(stage.ground.env['S3_ENDPOINT'] ?? '');
    stage.engine = await startEngine(stage.ground, { env: { S3_ENDPOINT: stage.proxy.url } });
  }, 180_000); // the first one starts the S3 server
  afterAll(async () => {
    await stage.engine?.close();
    await stage.proxy?.close();
    await stage.ground?.close();
  });
  afterEach(() => {
    Object.assign(stage.proxy, { rule: () => 'pass', calls: [], answered: [], broken: [], faults: 0 });
  });
  return stage;
}
