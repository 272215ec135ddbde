using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

public class CudaBackendThreadTests
{
    [Test]
    public void WorksOnEveryThreadThatCallsOneAfterAnother()
    {
        using var backend = new CudaBackend(new SimulatedCudaDriver(new SimulatorOptions { Threads = 1 }));
        Exception? failure = null;
        for (var i = 0; i < 20 && failure is null; i++)
        {
            RunOnANewThread();
            // The ids of dead threads go to new ones once they are collected.
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.That(failure, Is.Null);

        void RunOnANewThread()
        {
            var thread = new Thread(() =>
            {
                try
                {
                    backend.Synchronise();
                }
                catch (CudaException e)
                {
                    failure = e;
                }
            });
            thread.Start();
            thread.Join();
        }
    }
}
