using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>A certificate authority made on the spot, with a server and a client certificate, as PEM files.</summary>
internal static class TestCertificates
{
    public static void Write(string folder)
    {
        var from = DateTimeOffset.UtcNow.AddDays(-1);
        var to = from.AddDays(30);
        using var caKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var caRequest = new CertificateRequest("CN=StreamLstm test authority", caKey, HashAlgorithmName.SHA256);
        caRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        caRequest.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        using var ca = caRequest.CreateSelfSigned(from, to);
        File.WriteAllText(Path.Combine(folder, "ca.pem"), ca.ExportCertificatePem());

        foreach (var name in new[] { "server", "client" })
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest($"CN=streamlstm-{name}", key, HashAlgorithmName.SHA256);
            var names = new SubjectAlternativeNameBuilder();
            names.AddIpAddress(IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
            using var certificate = request.Create(ca, from, to, RandomNumberGenerator.GetBytes(8));
            File.WriteAllText(Path.Combine(folder, name + ".pem"), certificate.ExportCertificatePem());
            File.WriteAllText(Path.Combine(folder, name + ".key"), key.ExportPkcs8PrivateKeyPem());
        }
    }
}
