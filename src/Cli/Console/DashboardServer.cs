using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace TinyDpo.Cli;

/// <summary>Serves one page, for reading, on 127.0.0.1 at a free port; nothing beyond this machine can reach it.</summary>
internal sealed class DashboardServer : IDisposable
{
    private readonly WebApplication _server;

    /// <param name="page">Renders the page; called for each request, on the server's threads.</param>
    public DashboardServer(Func<string> page)
    {
        // The empty builder reads no environment and no settings, which could name other addresses.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(static kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(IPAddress.Loopback, 0);
        });
        builder.Services.AddSingleton<IHostLifetime, RunsLifetime>();
        _server = builder.Build();
        _server.Run(context => Answer(context, page));
        _server.StartAsync().GetAwaiter().GetResult();
        Address = new Uri(_server.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single());
    }

    public Uri Address { get; }

    public void Dispose() => ((IDisposable)_server).Dispose();

    private Task Answer(HttpContext context, Func<string> page)
    {
        var (request, response) = (context.Request, context.Response);
        // A page of another site whose name was made to point here has that name as its host.
        response.StatusCode = !(IPAddress.TryParse(request.Host.Host, out var host) && IPAddress.IsLoopback(host)) && request.Host.Host != "localhost" ? 403
            : !HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method) ? 405
            : request.Path != "/" ? 404
            : 200;
        if (response.StatusCode != 200)
        {
            return Task.CompletedTask;
        }
        response.ContentType = "text/html; charset=utf-8";
        response.Headers.CacheControl = "no-store";
        return HttpMethods.IsHead(request.Method) ? Task.CompletedTask : response.WriteAsync(page(), context.RequestAborted);
    }

    /// <summary>The default one takes Ctrl-C for itself, which here stops the training.</summary>
    private sealed class RunsLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
