using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>Checks the theory of DPO in a world where every sequence can be listed, claim by claim.</summary>
public static class TheoryRun
{
    /// <summary>All claims, in the order of the paper.</summary>
    /// <param name="options">The world.</param>
    /// <param name="backend">Where the engine's parts run.</param>
    /// <param name="log">Told how far it is.</param>
    /// <param name="loss">The loss under test; null for DPO's.</param>
    /// <param name="cancellation">Stops it.</param>
    public static IReadOnlyList<Claim> Run(
        TheoryOptions options, IBackend backend, IRunLog log, TheoryLoss? loss = null, CancellationToken cancellation = default)
    {
        var world = new TheoryWorld(options);
        var c = new TheoryCase(world, loss ?? new TheoryDpoLoss(options.Beta), cancellation);
        var claims = new List<Claim>();
        Collect("reward and policy", OptimalPolicyClaims.Check(c).Concat(RewardClassClaims.Check(c)));
        Collect("loss and gradient", LossClaims.Check(c).Concat(EngineClaims.Check(c, backend)));
        Collect("minimum", MinimumClaims.Check(c).Concat(PartialSupportClaims.Check(c)));
        log.Stage("transformer", TransformerClaims.Steps);
        claims.AddRange(TransformerClaims.Check(c, backend, done => log.Advance(done)));
        Collect("frontier and KL", FrontierClaims.Check(c).Concat(KlEstimatorClaims.Check(c)));
        Collect("rankings", PlackettLuceClaims.Check(c));
        return claims;

        void Collect(string stage, IEnumerable<Claim> found)
        {
            log.Stage(stage, 1);
            foreach (var claim in found)
            {
                cancellation.ThrowIfCancellationRequested();
                claims.Add(claim);
            }
            log.Advance(1);
        }
    }
}
