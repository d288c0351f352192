"""Papers behind the networks and the ways to train them, as BibTeX."""

from __future__ import annotations

from medenh.zoo.card import ModelCard

__all__ = ["papers_of"]

_DPE = """@article{sharif2022deep,
  author  = {Sharif, S. M. A. and Naqvi, Rizwan Ali and Biswas, Mithun and
             Loh, Woong-Kee},
  title   = {Deep Perceptual Enhancement for Medical Image Analysis},
  journal = {IEEE Journal of Biomedical and Health Informatics},
  volume  = {26}, number = {10}, pages = {4826--4836}, year = {2022},
  doi     = {10.1109/JBHI.2022.3168604}
}"""
_GRADPROM = """@article{zhang2025generalized,
  author  = {Zhang, Dong and Cheng, Kwang-Ting},
  title   = {Generalized Task-Driven Medical Image Quality Enhancement with
             Gradient Promotion},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2025},
  doi     = {10.1109/TPAMI.2025.3525671}
}"""
_HQG = """@article{he2024hqgnet,
  author  = {He, Chunming and Li, Kai and Xu, Guoxia and Yan, Jiangpeng and
             Tang, Longxiang and Zhang, Yulun and Wang, Yaowei and Li, Xiu},
  title   = {{HQG-Net}: Unpaired Medical Image Enhancement With High-Quality Guidance},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  volume  = {35}, number = {12}, pages = {18404--18418}, year = {2024},
  doi     = {10.1109/TNNLS.2023.3315307}
}"""
_MAGE = """@article{guo2023bridging,
  author  = {Guo, Erjian and Fu, Huazhu and Zhou, Luping and Xu, Dong},
  title   = {Bridging Synthetic and Real Images: a Transferable and Multiple
             Consistency aided Fundus Image Enhancement Framework},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {42}, number = {8}, pages = {2189--2199}, year = {2023},
  doi     = {10.1109/TMI.2023.3247783}
}"""
_AGNET = """@inproceedings{zhang2019attention,
  author    = {Zhang, Shihao and Fu, Huazhu and Yan, Yuguang and Zhang, Yubing and
               Wu, Qingyao and Yang, Ming and Tan, Mingkui and Xu, Yanwu},
  title     = {Attention Guided Network for Retinal Image Segmentation},
  booktitle = {Medical Image Computing and Computer Assisted Intervention (MICCAI)},
  year      = {2019}
}"""
_NAFNET = """@inproceedings{chen2022simple,
  author    = {Chen, Liangyu and Chu, Xiaojie and Zhang, Xiangyu and Sun, Jian},
  title     = {Simple Baselines for Image Restoration},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2022}
}"""
_RESNET = """@inproceedings{he2016deep,
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title     = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {770--778}, year = {2016}
}"""
_SRRESNET = """@inproceedings{ledig2017photo,
  author    = {Ledig, Christian and others},
  title     = {Photo-Realistic Single Image Super-Resolution Using a Generative
               Adversarial Network},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2017}
}"""
_STILLGAN = """@article{ma2021structure,
  author  = {Ma, Yuhui and others},
  title   = {Structure and Illumination Constrained {GAN} for Medical Image
             Enhancement},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {40}, number = {12}, pages = {3955--3967}, year = {2021},
  doi     = {10.1109/TMI.2021.3101937}
}"""
_UNET = """@inproceedings{ronneberger2015unet,
  author    = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title     = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  pages     = {234--241}, year = {2015},
  doi       = {10.1007/978-3-319-24574-4_28}
}"""

_OF_ARCHITECTURE = {
    "agnet": (_AGNET,),
    "classifier": (_UNET,),
    "dpe": (_DPE,),
    "dpe-plus": (_DPE,),
    "hqg": (_HQG,),
    "hqg-legacy": (_HQG,),
    "mage": (_MAGE,),
    "nafnet": (_NAFNET,),
    "resnet": (_RESNET,),
    "srresnet": (_SRRESNET,),
    "stillgan": (_STILLGAN,),
    "unet": (_UNET,),
}
_PROMOTING = ("hard", "soft", "layer")  # GradProm's rules; sum and project are older


def papers_of(card: ModelCard) -> tuple[str, ...]:
    """Return the papers of a model's network and of its training, each as BibTeX.

    Examples
    --------
    >>> from medenh.zoo.manifest import resolve
    >>> [paper.partition(",")[0] for paper in papers_of(resolve("dpe-general").card)]
    ['@article{sharif2022deep']
    """
    papers = _OF_ARCHITECTURE.get(card.architecture, ())
    config = None if card.training is None else card.training.config
    promote = config.get("promote") if isinstance(config, dict) else None
    if isinstance(promote, dict) and promote.get("rule") in _PROMOTING:
        papers = (_GRADPROM, *papers)
    return papers
